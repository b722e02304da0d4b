"""The colours of series, in all panels alike: a service has one colour, and only failures are red."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC
from dashboards.panels.shared import ERROR_COLOR, SUCCESS_COLOR, WARNING_COLOR

SERIES_COLORS: Final = {
    rf"/^{GATEWAY}\b/": "blue",
    rf"/^{TASK_MANAGER}\b/": "purple",
    rf"/^{CRAWLER}\b/": "orange",
    rf"/^{STATUS_TOPIC}\b/": "#4ab8b8",
    rf"/^{CRAWL_TOPIC}\b/": "#d6a35c",
    r"/^(p50|5m)$/": "super-light-blue",
    r"/^(p95|1h)$/": "blue",
    r"/^(p99|6h)$/": "dark-blue",
    # Grafana's palette has no red among the first four of its colours; these panels have more series.
    r"/^(exemplars|page is fetched.*)$/": "#8e8e93",
    r"/^(logs|UPDATE .*)$/": "orange",
    r"/^(metrics|COMMIT)$/": "blue",
    r"/^(search|SELECT .*)$/": "purple",
    r"/^(trace|INSERT .*)$/": "#4ab8b8",
    r"/^\d+\. /": "blue",
    r"/^message waits for the task-manager$|^in the collector$/": "purple",
    r"/^message waits for the crawler$/": "orange",
    r"/^message of task-status /": "#4ab8b8",
    r"/^message of requests-web-crawl /": "#d6a35c",
    r"/(^|: )created$|^new$|^in the service$/": "blue",
    r"/(^|[ :])(retried|duplicate|suppressed)$/": WARNING_COLOR,
    r"/(^|[ :])(success|completed|accepted|sent)$/": SUCCESS_COLOR,
    # Grafana takes the last override that matches, and `not sent` is no success.
    r"/(^|[ :])(error|failed|dead[_-]letter(ed)?|not sent\b.*|refused|dropped|timeouts?)$/": ERROR_COLOR,
    r"/^\d+\. (dropped|refused|in damaged)/": ERROR_COLOR,
}
"""Regular expression of a series' name → its colour; a later one overrides an earlier one."""


def shades(color: str) -> list[DynamicConfigValue]:
    """Return the properties of series of one colour, in shades, so that two of them can be distinguished."""
    return [DynamicConfigValue(id_val="color", value={"mode": "shades", "fixedColor": color})]

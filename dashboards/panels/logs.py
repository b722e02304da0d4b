"""Logs panels: log lines, newest first."""

from grafana_foundation_sdk.builders import logs as sdk
from grafana_foundation_sdk.builders import loki

from dashboards.config import MonitoringConfig
from dashboards.panels.shared import LOGS, Panel, description


def logs(
    config: MonitoringConfig, title: str, text: str, query: str, *, normally_empty: str | None = None
) -> Panel | None:
    """Return the lines that a LogQL query selects; None if Grafana can query no log store.

    An empty panel always shows "No data", so the title says what lines are expected.
    """
    if not config.logs:
        return None
    return (
        sdk.Panel()
        .title(title)
        .description(description(text, normally_empty))
        .datasource(LOGS)
        .span(24)
        .height(8)
        .show_time(True)
        .enable_log_details(True)
        .wrap_log_message(True)
        .with_target(loki.Dataquery().expr(query).max_lines(200).query_type("range").ref_id("A").datasource(LOGS))
    )

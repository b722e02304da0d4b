"""Logs panels: log lines, newest first."""

from grafana_foundation_sdk.builders import logs as sdk
from grafana_foundation_sdk.builders import loki

from dashboards.panels.shared import LOGS, Panel, description


def logs(
    title: str, text: str, query: str, *, normally_empty: str | None = None, width: int = 24, height: int = 8
) -> Panel:
    """Return the lines that a LogQL query selects."""
    return (
        sdk.Panel()
        .title(title)
        .description(description(text, normally_empty))
        .datasource(LOGS)
        .span(width)
        .height(height)
        .show_time(True)
        .enable_log_details(True)
        .wrap_log_message(True)
        .with_target(loki.Dataquery().expr(query).max_lines(200).query_type("range").ref_id("A").datasource(LOGS))
    )

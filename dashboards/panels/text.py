"""Text panels: Markdown."""

from grafana_foundation_sdk.builders import text as sdk

from dashboards.panels.shared import Panel


def text(content: str, *, width: int = 24, height: int = 24) -> Panel:
    """Return a page of Markdown."""
    return sdk.Panel().content(content).span(width).height(height).transparent(True)

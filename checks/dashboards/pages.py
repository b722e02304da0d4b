"""Opens the dashboards in a real Grafana and reads from the page what each panel shows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from checks.dashboards.browser import Page
from checks.dashboards.panels import panels
from checks.dashboards.run import Failure

WIDTH: Final = 1600
HEIGHT: Final = 900
"""The first screen of an on-call engineer."""
_ROW_PIXELS: Final = 38
_LOAD_SECONDS: Final = 60.0

# Grafana draws a panel when it is on the screen, so the window is as tall as the page. Reads, for each panel: its
# title, the text of an error or of missing data, whether it has a content, and whether it still loads.
_READ: Final = """
(() => {
  const text = (node) => node ? node.innerText.trim() : "";
  // Panels wait, without a bar, for the variables of their dashboard; until then they have only a frame.
  const isDrawn = (content) =>
    content !== null && (content.querySelector("canvas, svg, table, [role=grid]") !== null || text(content) !== "");
  const sections = [...document.querySelectorAll('section[data-testid^="data-testid Panel header"]')];
  return {
    panels: sections.map((section) => ({
      title: section.dataset.testid.replace("data-testid Panel header", "").trim(),
      error: section.querySelector('[data-testid="data-testid Panel status error"]') !== null,
      message: text(section.querySelector('[data-testid="data-testid Panel data error message"], .panel-empty')),
      drawn: isDrawn(section.querySelector('[data-testid="data-testid panel content"]')),
      loading: section.querySelector('[aria-label="Panel loading bar"]') !== null,
    })),
    missing: /Dashboard not found|Failed to load dashboard/.test(document.body.innerText),
  };
})()
"""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A dashboard as Grafana draws it."""

    title: str
    screens: Sequence[bytes]
    """PNGs: the first screen, then the whole page."""
    panels: int


def visit(
    page: Page,
    url: str,
    models: Sequence[Mapping[str, Any]],
    minutes: float,
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[list[Shot], list[Failure]]:
    """Open each dashboard.

    Args:
        page: of a browser that Grafana admits.
        url: of Grafana.
        models: the dashboards, as they were provisioned.
        minutes: the time range.
        sleep: waits for the page.

    Returns:
        The dashboards as drawn, and what is wrong on them.
    """
    shots, failures = [], []
    for model in models:
        shot, problems = _visit(page, url, model, minutes, sleep)
        shots.append(shot)
        failures += problems
    return shots, failures


def _visit(
    page: Page, url: str, model: Mapping[str, Any], minutes: float, sleep: Callable[[float], object]
) -> tuple[Shot, list[Failure]]:
    title = str(model["title"])
    expected = {panel.title: panel for panel in panels(model) if panel.type != "row"}
    rows = max(panel.place[1] + panel.place[3] for panel in panels(model))
    page.set_size(WIDTH, rows * _ROW_PIXELS + 200)
    page.open(f"{url}/d/{model['uid']}?from=now-{minutes:g}m&to=now")
    state = _settled(page, len(expected), sleep)
    whole = page.screenshot()
    page.set_size(WIDTH, HEIGHT)
    sleep(0.5)  # one layout
    shot = Shot(title=title, screens=(page.screenshot(), whole), panels=len(state["panels"]))
    if state["missing"]:
        return shot, [Failure(dashboard=title, where="page", what=f"Grafana has no dashboard {model['uid']}")]
    failures = []
    drawn = {entry["title"]: entry for entry in state["panels"]}
    for name, panel in expected.items():
        entry = drawn.get(name)
        if entry is None:
            problem = "Grafana does not draw the panel"
        elif entry["loading"]:
            problem = f"the panel still loads after {_LOAD_SECONDS:.0f} s"
        elif not entry["drawn"]:
            problem = f"the panel is blank after {_LOAD_SECONDS:.0f} s"
        elif entry["error"]:
            problem = f"Grafana shows an error: {entry['message'] or 'see the panel'}"
        elif entry["message"] and panel.normally_empty is None:
            problem = f"Grafana shows: {entry['message']}"
        else:
            continue
        failures.append(Failure(dashboard=title, where=name, what=problem))
    return shot, failures


def _settled(page: Page, number: int, sleep: Callable[[float], object]) -> dict[str, Any]:
    """Return what the page shows once all panels are drawn and nothing loads, or after a minute."""
    deadline = time.monotonic() + _LOAD_SECONDS
    previous: dict[str, Any] | None = None
    while True:
        state: dict[str, Any] = page.evaluate(_READ) or {"panels": [], "missing": False}
        done = len(state["panels"]) >= number and all(
            panel["drawn"] and not panel["loading"] for panel in state["panels"]
        )
        # Twice the same: a panel that is drawn has not yet begun to load.
        if state["missing"] or (done and state == previous) or time.monotonic() > deadline:
            return state
        previous = state
        sleep(1)

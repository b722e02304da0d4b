"""What the check reads from Grafana's pages, on a page that the test writes."""

from typing import Any

from checks.dashboards.browser import Page
from checks.dashboards.pages import visit
from dashboards.panels import stat, text
from tests.support.panels import dashboard_of


class _FakePage(Page):
    """Shows the same panels for every URL."""

    def __init__(self, *panels: dict[str, Any], missing: bool = False) -> None:
        self.opened: list[str] = []
        self._state = {"panels": list(panels), "missing": missing}

    def set_size(self, width: int, height: int) -> None:
        """Nothing."""

    def open(self, url: str) -> None:
        self.opened.append(url)

    def evaluate(self, expression: str) -> Any:
        return self._state

    def screenshot(self) -> bytes:
        return b"png"


def panel(title: str, *, error: bool = False, message: str = "", drawn: bool = True) -> dict[str, Any]:
    return {"title": title, "error": error, "message": message, "drawn": drawn, "loading": False}


def problems(page: _FakePage) -> dict[str, str]:
    """Return panel → what is wrong on a dashboard with four panels."""
    model = dashboard_of(
        stat("fine", "It.", "up", unit="short"),
        stat("broken", "It.", "up", unit="short"),
        stat("empty", "It.", "up", unit="short"),
        stat("calm", "It.", "up", unit="short", normally_empty="no event."),
        title="Up",
    )
    shots, failures = visit(page, "http://grafana", [model], 15, lambda _: None)
    assert [shot.screens for shot in shots] == [(b"png", b"png")]
    assert page.opened == ["http://grafana/d/x?from=now-15m&to=now"]
    return {failure.where: failure.what for failure in failures}


def test_errors_missing_data_and_missing_panels_are_failures() -> None:
    page = _FakePage(
        panel("fine"), panel("broken", error=True), panel("empty", message="No data"), panel("calm", message="Nothing")
    )
    assert problems(page) == {
        "broken": "Grafana shows an error: see the panel",
        "empty": "Grafana shows: No data",
    }


def test_a_panel_that_is_not_drawn_is_a_failure(monkeypatch: Any) -> None:
    monkeypatch.setattr("checks.dashboards.pages._LOAD_SECONDS", 0.0)
    assert problems(_FakePage(panel("fine"), panel("broken"), panel("empty"))) == {
        "calm": "Grafana does not draw the panel"
    }


def test_a_blank_panel_is_a_failure(monkeypatch: Any) -> None:
    """It is also no sign that the page is complete: a panel waits for the variables without saying so."""
    monkeypatch.setattr("checks.dashboards.pages._LOAD_SECONDS", 0.0)
    page = _FakePage(panel("fine"), panel("broken"), panel("empty"), panel("calm", drawn=False))
    assert problems(page) == {"calm": "the panel is blank after 0 s"}


def test_a_dashboard_that_grafana_did_not_load_is_one_failure() -> None:
    """The rest of the page says nothing about the panels."""
    assert problems(_FakePage(missing=True)) == {"page": "Grafana has no dashboard x"}


def test_text_is_no_panel_with_data() -> None:
    model = dashboard_of(text("*words*"), title="Words")
    assert visit(_FakePage(panel("")), "http://grafana", [model], 15, lambda _: None)[1] == []

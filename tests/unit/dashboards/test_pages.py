"""What a real Grafana draws unreadably or wrongly, held without one: axes, tiles, variables, menus, marks, searches."""

import re
from typing import Any, Final

import pytest

from checks.dashboards.panels import Panel, panels
from dashboards.catalog import dashboards, runbooks
from dashboards.dashboard import RUNBOOK_TAG, TAG
from dashboards.panels import ERROR_COLOR, NEUTRAL_COLOR, SUCCESS_COLOR, WARNING_COLOR
from dashboards.panels.stat import NO_DATA
from dashboards.panels.timeseries import LIMIT
from dashboards.rules import AlertRule, RecordingRule, groups
from dashboards.rules.dependencies import edges
from dashboards.rules.model import runbook_uid
from dashboards.rules.runbook_links import RUNBOOK, RUNBOOK_LINK
from stack.settings import load
from stack.settings.monitoring import monitoring_config

STACKS: Final = ("local", "dev", "staging", "prod")


def models(stack: str) -> dict[str, dict[str, Any]]:
    return dashboards(monitoring_config(load(stack)))


def panels_of(stack: str, *types: str) -> list[Panel]:
    return [panel for model in models(stack).values() for panel in panels(model) if panel.type in types]


@pytest.mark.parametrize("stack", STACKS)
def test_axes_end_a_little_above_the_limit_and_never_at_grafanas_100(stack: str) -> None:
    for panel in panels_of(stack, "timeseries"):
        custom, defaults = panel.defaults["custom"], panel.defaults
        soft = custom["axisSoftMax"]
        assert soft > 0, panel.title
        assert defaults["min"] == 0, panel.title
        if defaults["unit"] == "percentunit":
            assert soft <= 1, panel.title
        if custom.get("thresholdsStyle", {}).get("mode") == "dashed":
            limit = max(step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None)
            assert limit < soft <= 1.5 * limit or limit == soft == 1, f"{panel.title}: the line is on the page"


@pytest.mark.parametrize("stack", STACKS)
def test_a_limit_of_times_is_a_series_on_a_logarithmic_axis(stack: str) -> None:
    limits = 0
    for panel in panels_of(stack, "timeseries"):
        scale = panel.defaults["custom"].get("scaleDistribution", {}).get("type", "linear")
        limited = panel.targets[-1]["legendFormat"] == LIMIT
        assert limited is (scale == "log"), panel.title
        if limited:
            assert panel.defaults["unit"] in ("s", "ms"), panel.title
            (style,) = (o for o in panel.model["fieldConfig"]["overrides"] if o["matcher"]["options"] == LIMIT)
            assert {"id": "color", "value": {"mode": "fixed", "fixedColor": ERROR_COLOR}} in style["properties"]
            limits += 1
    assert limits


@pytest.mark.parametrize("stack", STACKS)
def test_every_state_has_a_name_and_a_color(stack: str) -> None:
    for panel in panels_of(stack, "state-timeline"):
        (mapping,) = panel.defaults["mappings"]
        assert all(state["text"] and state["color"] for state in mapping["options"].values()), panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_tiles_with_names_are_readable(stack: str) -> None:
    """Grafana shrinks the text of a tile until it fits, and a tile is 53 pixels wide per column at 1280 pixels."""
    for panel in panels_of(stack, "stat"):
        if any("{{" in target.get("legendFormat", "") for target in panel.targets):
            text = panel.model["options"]["text"]
            assert text["titleSize"] >= 12, panel.title
            assert text["valueSize"] >= 18, panel.title
            assert panel.place[2] >= 6, panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_titles_fit_at_1280_pixels(stack: str) -> None:
    """Grafana cuts a title off. Next to it are the frame of the panel and the sign that opens the description."""
    for panel in panels_of(stack, "stat", "timeseries", "table", "state-timeline", "nodeGraph", "logs"):
        pixels = 51.7 * panel.place[2] - 85
        assert 7.1 * len(panel.title) <= pixels, panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_a_tile_shows_the_present_and_says_if_there_is_no_value(stack: str) -> None:
    """Grafana's frames end with the last value, so that a series that has ended would seem to go on."""
    for panel in panels_of(stack, "stat"):
        (target,) = panel.targets
        assert panel.model["options"]["reduceOptions"]["calcs"] == ["last"], panel.title
        if not target.get("instant"):
            assert " or on () (vector(NaN) and on () vector(time()) * 1000 > ${__to}" in target["expr"], panel.title
        (gap, *_) = panel.defaults["mappings"]
        assert gap["options"] == {"match": "null+nan", "result": {"text": NO_DATA, "color": NEUTRAL_COLOR}}


@pytest.mark.parametrize("stack", STACKS)
def test_a_tile_has_thresholds_of_its_own(stack: str) -> None:
    """Grafana's own make every number from 80 on red."""
    for panel in panels_of(stack, "stat"):
        steps = panel.defaults["thresholds"]["steps"]
        assert steps[0]["value"] is None, panel.title
        assert len(steps) > 1 or steps[0]["color"] == NEUTRAL_COLOR, panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_edges_have_ids_without_spaces_and_an_order(stack: str) -> None:
    """The id of an edge is in the URL of its arrowhead; the order of the edges makes the layout."""
    for panel in panels_of(stack, "nodeGraph"):
        for expr in (target["expr"] for target in panel.targets[3:]):
            (separator,) = re.findall(r'"id", "([^"]*)", "source", "target"', expr)
            assert not re.search(r"\s", separator), panel.title
        assert panel.model["transformations"][-1]["options"]["sort"] == [{"field": "id", "desc": True}], panel.title
    for of in edges(monitoring_config(load(stack))):
        assert " " not in of.source.replacement + of.target.replacement


@pytest.mark.parametrize("stack", STACKS)
def test_legends_leave_room_for_the_lines(stack: str) -> None:
    for panel in panels_of(stack, "timeseries"):
        legend = panel.model["options"]["legend"]
        if legend["displayMode"] == "table":
            assert legend["placement"] == "right", panel.title
            assert panel.place[2] == 24, panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_a_variable_filters_everything_below_it(stack: str) -> None:
    for model in models(stack).values():
        for variable in model["templating"].get("list", []):
            for panel in panels(model):
                for target in panel.targets:
                    if target["datasource"]["type"] == "jaeger":
                        assert "only" in panel.question, panel.title
                        continue
                    query = target.get("expr") or target["query"]
                    # The second query of a panel with exemplars has the matchers of the first.
                    assert f"${variable['name']}" in query, (model["title"], panel.title, query)


@pytest.mark.parametrize("stack", STACKS)
def test_searches_return_the_latest_traces(stack: str) -> None:
    for panel in panels_of(stack, "table"):
        for target in panel.targets:
            if target["datasource"]["type"] == "tempo":
                assert target["query"].endswith("with (most_recent=true)"), panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_an_empty_panel_says_why(stack: str) -> None:
    for panel in panels_of(stack, "stat"):
        assert panel.defaults["noValue"] == NO_DATA, panel.title
        assert panel.normally_empty or "No data" in panel.question, f"{panel.title}: the tile refers to its description"
    for panel in panels_of(stack, "timeseries", "state-timeline", "table"):
        text = panel.defaults["noValue"]
        assert text not in ("", "No data"), panel.title
        if panel.normally_empty:
            assert panel.normally_empty in text, panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_an_empty_cell_has_not_the_text_of_an_empty_table(stack: str) -> None:
    for panel in panels_of(stack, "table"):
        first = panel.model["fieldConfig"]["overrides"][0]
        assert first["matcher"]["options"] == "/.*/", panel.title
        assert first["properties"] == [{"id": "noValue", "value": "-"}], panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_failures_are_red_and_successes_green_in_all_panels(stack: str) -> None:
    names = {
        ERROR_COLOR: ("error", "task-status: error", "gateway: dead-lettered", "collector refused", "x: dead_letter"),
        SUCCESS_COLOR: ("success", "completed", "collector accepted", "create task: success"),
    }
    for panel in panels_of(stack, "timeseries"):
        colors = {
            override["matcher"]["options"].strip("/"): item["value"]["fixedColor"]
            for override in panel.model["fieldConfig"]["overrides"]
            for item in override["properties"]
            if item["id"] == "color"
        }
        for color, series in names.items():
            for name in series:
                # Grafana takes the last override that matches.
                matching = [c for pattern, c in colors.items() if re.search(pattern, name)]
                assert matching[-1:] == [color], (panel.title, name)


@pytest.mark.parametrize("stack", STACKS)
def test_pages_are_red_on_the_start_page(stack: str) -> None:
    (table,) = (panel for panel in panels_of(stack, "table") if panel.title == "Firing alerts, and since when")
    (column,) = (o for o in table.model["fieldConfig"]["overrides"] if o["matcher"]["options"] == "Severity")
    properties = {item["id"]: item["value"] for item in column["properties"]}
    colors = {one["options"]["pattern"]: one["options"]["result"]["color"] for one in properties["mappings"]}
    assert colors == {"page": ERROR_COLOR, "ticket": WARNING_COLOR}
    assert properties["custom.cellOptions"] == {"type": "color-text"}


@pytest.mark.parametrize("stack", STACKS)
def test_runbooks_have_a_menu_of_their_own(stack: str) -> None:
    pages = runbooks(monitoring_config(load(stack)))
    assert {tuple(model["tags"]) for model in pages.values()} == {(RUNBOOK_TAG,)}
    assert {tuple(model["tags"]) for model in models(stack).values()} == {(TAG,)}
    for model in (*models(stack).values(), *pages.values()):
        menus = [(link["title"], link["tags"]) for link in model["links"] if link["type"] == "dashboards"]
        assert menus == [("Dashboards", [TAG]), ("Runbooks", [RUNBOOK_TAG])]


@pytest.mark.parametrize("stack", STACKS)
def test_marks_have_names_and_links(stack: str) -> None:
    for model in models(stack).values():
        marks = {mark["name"]: mark for mark in model["annotations"]["list"]}
        assert list(marks) == ["Alerts", "Starts of services", "Rollouts"]
        assert all(mark["titleFormat"] and mark["textFormat"] for mark in marks.values())
        assert marks["Alerts"]["titleFormat"] == "{{alertname}}"
        assert marks["Alerts"]["useValueForTime"], "one line where the alert began, not a region over the graph"
        assert "instance" in marks["Starts of services"]["expr"], "a time that falls is drawn as a region"
        for mark in marks.values():
            opacity = re.fullmatch(r"rgba\(\d+, \d+, \d+, (0\.\d+)\)", mark["iconColor"])
            assert opacity, mark["name"]
            assert float(opacity[1]) <= 0.5, mark["name"]
        assert 'href="d/{{runbook}}"' in marks["Alerts"]["textFormat"], "relative: Grafana may have a path"


@pytest.mark.parametrize("stack", STACKS)
def test_every_alert_has_a_series_with_its_runbook(stack: str) -> None:
    rules = [rule for group in groups(monitoring_config(load(stack))) for rule in group.rules]
    alerts = {rule.name for rule in rules if isinstance(rule, AlertRule)}
    links = {
        rule.labels["alertname"]: rule.labels[RUNBOOK]
        for rule in rules
        if isinstance(rule, RecordingRule) and rule.name == RUNBOOK_LINK
    }
    assert links == {name: runbook_uid(name) for name in alerts}

"""The report of a rollout: its page, and the picture of the evidence."""

from xml.etree import ElementTree

from stack.rollout.gate import Evidence, Finding, Verdict
from stack.rollout.picture import Point, draw
from stack.rollout.report import StepResult, page
from stack.rollout.traces import Difference

SVG = "{http://www.w3.org/2000/svg}"


def evidence(worse: float, within: float) -> Evidence:
    return Evidence(worse=worse, within=within, worse_bound=2.7, within_bound=1.5)


def test_the_picture_has_a_panel_for_each_check_with_both_lines_and_bounds() -> None:
    points = [Point(seconds=5.0 * look, evidence=evidence(0.5 * look, -look)) for look in range(20)]
    picture = ElementTree.fromstring(draw({"errors, gateway & more": points, "median": points[:1]}, [0.0, 40.0]))
    assert len(picture.findall(f"{SVG}g")) == 2
    first = picture.findall(f"{SVG}g")[0]
    assert [len((line.get("points") or "").split()) for line in first.findall(f"{SVG}polyline")] == [20, 20]
    assert len([line for line in first.findall(f"{SVG}path") if line.get("stroke-dasharray")]) == 2
    heights = [float(pair.split(",")[1]) for pair in (first.findall(f"{SVG}polyline")[0].get("points") or "").split()]
    assert heights == sorted(heights, reverse=True)
    assert min(heights) >= 0, "evidence beyond the axis is drawn at its edge"


def test_a_rollout_without_looks_has_an_empty_picture() -> None:
    assert ElementTree.fromstring(draw({}, [])).tag == f"{SVG}svg"


def test_the_page_has_the_picture_and_what_differs_in_the_traces() -> None:
    finding = Finding(check="errors", verdict=Verdict.FAILED, canary="9 | 10", baseline="0", limit="", query="up")
    difference = Difference(
        kind="errors", name="gateway: POST /tasks", canary="1 of 6", baseline="0 of 6", trace_ids=["ab"]
    )
    text = page(
        "local",
        ["image: a → b"],
        [StepResult(title="stage 1, 25%", start=0, end=60, findings=[finding])],
        "rolled back",
        picture="rollout-local.svg",
        differences={"stage 1, 25%": [difference]},
    )
    assert "(rollout-local.svg)" in text
    assert "| errors | gateway: POST /tasks | 1 of 6 | 0 of 6 | `ab` |" in text
    assert "9 \\| 10" in text

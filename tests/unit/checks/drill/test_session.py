"""A drill pages, takes answers, gives hints, ends in time, and is reported."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from checks.drill.command import choose, drill
from checks.drill.lines import PreparedLines
from checks.drill.report import report, solution
from checks.drill.session import Event, Result, Session
from checks.faults.catalogue import faults
from contracts.errors import UserError

FAULTS = faults("jaeger")
FAULT = FAULTS["kafka-down"]


def run(texts: Sequence[str], *, limit: float = 600) -> tuple[Result, list[str]]:
    """Each look at the clock takes a second."""
    ticks = iter(range(10_000))
    output: list[str] = []
    session = Session(FAULT, PreparedLines(texts), output.append, limit=limit, clock=lambda: float(next(ticks)))
    return session.run(), output


def test_the_page_says_nothing_about_the_fault() -> None:
    _, output = run(["give up"])
    assert output[0] == "page: users complain"
    assert not any("kafka" in line.lower() for line in output)


def test_a_fault_that_no_user_sees_brings_no_complaint() -> None:
    """Its page names neither hop nor cause."""
    telemetry = {name: fault.page for name, fault in FAULTS.items() if fault.page != "page: users complain"}
    assert {"store-down", "torn-traces", "logs-missing", "not-scraped", "collector-down"} <= telemetry.keys()
    assert {"kafka-down", "postgres-down", "front-door-unreachable", "bad-setting"}.isdisjoint(telemetry)
    output: list[str] = []
    Session(FAULTS["store-down"], PreparedLines(["give up"]), output.append, limit=60).run()
    assert output[0] == "ticket: users are well; traces, logs or metrics are not as they should be"


def test_a_right_answer_ends_the_drill() -> None:
    result, output = run(["kafka, stopped", "never read"])
    assert result.is_solved
    assert not result.wrong
    assert not result.hints
    assert output[-1] == "right: hop and cause"
    assert result.score == result.seconds > 0


def test_hints_and_wrong_answers_cost_time() -> None:
    result, output = run(["hint", "kafka, dns", "loki, stopped", "loki, dns", "what?", "kafka, stopped"])
    assert result.is_solved
    assert result.hints == 1
    assert result.wrong == 3
    assert result.score == result.seconds + 240
    assert output[2] == f"hint: {FAULT.hints[0]}"
    replies = (
        "the hop is right, the cause is wrong",
        "the cause is right, the hop is wrong",
        "hop and cause are wrong",
    )
    assert [line.split(":")[0] for line in output[3:6]] == list(replies)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("kafka", "the hop is clear (Kafka), the cause is not. Answer HOP, CAUSE"),
        ("dns", "the cause is clear (names are not resolved), the hop is not. Answer HOP, CAUSE"),
        ("what?", "neither the hop nor the cause is clear. Answer HOP, CAUSE"),
    ],
)
def test_an_answer_that_is_not_clear_costs_nothing(line: str, reply: str) -> None:
    result, output = run([line, "give up"])
    assert output[2].startswith(reply)
    assert result.wrong == 0
    assert result.score == result.seconds


def test_there_is_an_end_of_hints() -> None:
    result, output = run(["hint"] * 5)
    assert result.hints == 3
    assert output[-1].startswith("there are no other hints")


def test_a_drill_ends_without_an_answer() -> None:
    given_up, _ = run(["give up"])
    ended, _ = run(["hint"])
    late, _ = run(["hint"] * 1000, limit=30)
    assert given_up.gave_up
    assert not given_up.is_solved
    assert not ended.is_solved
    assert not late.is_solved
    assert "not found in time" in late.summary


def test_the_report_has_everything() -> None:
    result, _ = run(["hint", "loki, dns", "kafka, stopped"])
    alerts = [Event(seconds=2.5, text="alert DependencyDown is pending")]
    text = report("kafka-down", FAULT, result, alerts, ["alert LagGrows is firing"], datetime.now(UTC))
    for part in (FAULT.title, FAULT.undo, FAULT.evidence.query, FAULT.evidence.panel, *FAULT.hints, alerts[0].text):
        assert part in text
    assert "| alerts before the fault | alert LagGrows is firing |" in text
    times = [int(line.split("|")[1]) for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert times == sorted(times)
    assert len(times) >= 5


@pytest.mark.parametrize("name", FAULTS)
def test_the_solution_names_the_fault_and_what_shows_it(name: str) -> None:
    fault = FAULTS[name]
    text = solution(fault)
    for part in (fault.title, fault.evidence.panel, fault.evidence.trace, fault.evidence.runbook or "no alert"):
        assert part in text


def test_a_seed_chooses_the_same_fault() -> None:
    assert choose(FAULTS, (), 7) == choose(FAULTS, (), 7)
    assert {choose(FAULTS, (), seed)[0] for seed in range(200)} == set(FAULTS)
    with pytest.raises(UserError, match="no fault 'x'"):
        choose(FAULTS, ["x"], None)


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_other_stacks_are_refused(stack: str) -> None:
    from rich.console import Console

    with pytest.raises(UserError, match="faults are for the compiled cluster"):
        drill(Console(), stack=stack)

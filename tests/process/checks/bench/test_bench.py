"""The benchmark: every variant runs, its spans arrive, and the statistics are correct. No test asserts a time."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pytest
from rich.console import Console

from checks.bench.child import Child, ChildFailed
from checks.bench.command import Size, measure
from checks.bench.delivery import Delivery, lost
from checks.bench.figures import Interval, Results, added, control, delivered, interval, quantile, ratio, spread
from checks.bench.measure import BARE, COMPARED, CONTROL, IDLE, NATIVE, OURS, STOCK, Series, Subject
from checks.bench.report import show
from checks.bench.scenarios import ScenarioName
from local.native_part import NoCompilerError, compile_once
from tests.support.profiles import is_nightly

PARTS: tuple[ScenarioName, ...] = ("sql", "produce", "consume")
"""Scenarios that `create` and `process` contain; at night they are measured alone too."""
SCENARIOS: tuple[ScenarioName, ...] = get_args(ScenarioName)
TINY = Size(
    scenarios={name: (2, 5) for name in SCENARIOS if is_nightly() or name not in PARTS},
    idle=("span",),
    memory_repeats=1,
    memory_operations=5,
    delivery_repeats=2,
    delivery_seconds=1,
    delivery_rate=200,
    # Each start is a new process of half a second.
    start_repeats=2 if is_nightly() else 1,
)


@pytest.fixture(scope="module")
def results() -> Results:
    return measure(TINY, lambda _: None)


@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=[pytest.mark.nightly] if name in PARTS else []) for name in SCENARIOS]
)
def test_every_variant_runs_and_its_spans_arrive(results: Results, scenario: str) -> None:
    # Spans of one operation. Stock: HTTP server, receive and send; connect and statement; Kafka receive, process, send.
    # Ours: HTTP server, statement, Kafka process and send, and what a transaction may add.
    stock, ours = {
        "span": (1, {1}),
        "varied": (1, {1}),
        "sql": (2, {1, 2}),
        "produce": (1, {1}),
        "consume": (2, {1}),
        "request": (3, {1}),
        "serve": (3, {1}),
        "create": (7, {3, 4}),
        "process": (5, {3, 4}),
    }[scenario]
    series = results.scenarios[scenario]
    assert {*COMPARED, CONTROL} <= set(series)
    assert series[BARE].received == 0
    assert series[STOCK].spans_per_operation == stock
    assert series[OURS].spans_per_operation in ours
    for subject in (STOCK, OURS, CONTROL, *_native(results)):
        assert series[subject].ended > 0
        assert series[subject].received == series[subject].ended
    for values in series.values():
        assert len(values.cpu) == len(values.wall) == 2
        assert all(value > 0 for value in values.cpu)


@pytest.mark.parametrize("scenario", ["span", "varied"])
def test_all_variants_deliver_the_same_attributes(results: Results, scenario: str) -> None:
    series = results.scenarios[scenario]
    assert series[OURS].contents == series[STOCK].contents == series[CONTROL].contents > 0
    assert results.scenarios["span"][OURS].contents != results.scenarios["varied"][OURS].contents
    assert series[OURS].values == series[STOCK].values > 0


def test_a_start_is_measured_until_the_service_is_ready(results: Results) -> None:
    assert {*COMPARED, CONTROL} <= set(results.starts)
    for values in results.starts.values():
        assert values.operations == len(values.cpu) == len(values.wall) == TINY.start_repeats
        assert all(cpu > 0 for cpu in values.cpu)
        assert all(wall > 0 for wall in values.wall)
    assert any(goal.name == "start of a service: time added" and goal.limit == 60 for goal in results.goals())


def test_the_variant_without_tracing_loads_no_tracing() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from checks.bench import service; service.load('bare', 'on', '', ''); print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "checks.bench.bare" in loaded
    assert not [name for name in loaded if name.startswith(("lean_tracing", "opentelemetry.sdk", "ddtrace", "logfire"))]


def _native(results: Results) -> tuple[Subject, ...]:
    """The variant with the native part, if this machine can compile it."""
    return (NATIVE,) if NATIVE in results.scenarios["span"] else ()


def test_the_native_part_is_measured_where_it_can_be_compiled(results: Results) -> None:
    try:
        compile_once()
    except NoCompilerError as error:
        pytest.skip(f"the native part is not measured: {error}")
    for scenario in results.scenarios.values():
        assert scenario[NATIVE].spans_per_operation == scenario[OURS].spans_per_operation
        assert scenario[NATIVE].contents == scenario[OURS].contents


def test_spans_that_are_not_recorded_are_not_sent(results: Results) -> None:
    for subject in IDLE:
        assert results.scenarios["span"][subject].received == 0


def test_spans_at_a_rate_are_counted_where_they_arrive(results: Results) -> None:
    for subject in (STOCK, OURS, *_native(results)):
        assert [item.received for item in results.deliveries[subject]] == [200, 200]
        assert all(item.seconds >= 1 and item.cpu_microseconds > 0 for item in results.deliveries[subject])
    assert lost([Delivery(made=5, received=3, seconds=1, cpu_microseconds=1)]) == 2


def test_the_report_states_ratios_goals_and_verdicts(results: Results) -> None:
    output = io.StringIO()
    show(results, Console(file=output, width=150))
    printed = output.getvalue()
    assert printed.count("added cost of this library / added cost of stock: ") == len(TINY.scenarios)
    assert printed.count("met") + printed.count("missed") >= len(results.goals())
    with_native = len(TINY.scenarios) if _native(results) else 0
    assert printed.count("added cost of the native part / added cost of stock: ") == with_native
    document = json.loads(json.dumps(results.document()))
    assert {goal["name"] for goal in document["goals"]} == {goal.name for goal in results.goals()}
    assert document["scenarios"]["request"]["ours"]["received"] == results.scenarios["request"][OURS].received
    assert document["scenarios"]["span"]["stock"]["versions"]["opentelemetry-sdk"] in printed
    assert all(document["delivered"]["span"].values())


def _made(costs: Mapping[Subject, float]) -> dict[Subject, Series]:
    return {subject: Series(cpu=[100.0 + cost] * 3) for subject, cost in costs.items()}


def test_a_goal_is_that_of_the_variant_it_is_for() -> None:
    costs = {BARE: 0.0, STOCK: 100.0, OURS: 7.0, CONTROL: 7.0}
    delivery = Delivery(made=1, received=1, seconds=1e-5, cpu_microseconds=1)
    results = Results(
        machine={},
        scenarios={"request": _made(costs | {NATIVE: 5.0}), "span": _made(costs | {NATIVE: 3.5})},
        memory={BARE: [1.0], OURS: [2.0]},
        deliveries={OURS: [delivery]},
    )
    assert {
        goal.name: (goal.measured, goal.limit, goal.met) for goal in results.goals() if "CPU added" in goal.name
    } == {
        "HTTP request, with the native part: CPU added, to stock's": (0.05, 0.06, True),
        "one span, with the native part: CPU added": (3.5, 3.0, False),
        "one span, in Python: CPU added": (7.0, 8.0, True),
    }
    results.scenarios = {"request": _made(costs), "span": _made(costs)}
    names = [goal.name for goal in results.goals()]
    assert not any("native" in name for name in names), "a machine without a compiler has no native part"


def test_a_ratio_compares_the_added_costs_of_the_same_round() -> None:
    # The machine becomes twice as slow halfway; the added cost of a round can still be measured.
    series = {
        BARE: Series(cpu=[100.0, 100.0, 200.0, 200.0]),
        STOCK: Series(cpu=[300.0, 300.0, 400.0, 400.0]),
        OURS: Series(cpu=[150.0, 150.0, 250.0, 250.0]),
    }
    assert added(series, OURS) == [50.0] * 4
    to_stock = ratio(series)
    assert (to_stock.low, to_stock.value, to_stock.high) == (0.25, 0.25, 0.25)
    assert not to_stock.is_tie


def test_two_costs_whose_order_the_run_cannot_tell_are_a_tie() -> None:
    assert Interval(value=1.1, low=0.9, high=1.3).is_tie
    assert not Interval(value=1.1, low=1.05, high=1.3).is_tie


def test_spans_that_are_missing_or_differ_are_not_delivered() -> None:
    whole = Series(operations=3, spans_per_operation=1.0, received=3, values=7)
    assert delivered({STOCK: whole, OURS: whole}, OURS)
    assert not delivered({STOCK: whole, OURS: replace(whole, received=2)}, OURS)
    assert not delivered({STOCK: whole, OURS: replace(whole, values=8)}, OURS)


def test_a_control_compares_two_processes_that_do_the_same() -> None:
    series = {OURS: Series(cpu=[100.0, 200.0, 300.0]), CONTROL: Series(cpu=[110.0, 220.0, 330.0])}
    same = control(series)
    assert same.value == pytest.approx(1.1)
    assert same.low <= same.value <= same.high


def test_the_interval_of_a_median_lies_around_it() -> None:
    assert interval([5.0] * 4) == Interval(value=5.0, low=5.0, high=5.0)
    many = interval([float(number) for number in range(101)])
    assert many.value == 50.0
    assert 30 < many.low < 50 < many.high < 70


def test_spread_and_quantile() -> None:
    assert spread([3.0]).median == 3.0
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == spread([5.0, 4.0, 3.0, 2.0, 1.0])
    assert (spread([1.0, 2.0, 3.0, 4.0, 5.0]).low, spread([1.0, 2.0, 3.0, 4.0, 5.0]).high) == (2.0, 4.0)
    assert quantile([float(number) for number in range(100)], 0.99) == 99.0


def test_a_child_that_ends_is_reported_with_its_output() -> None:
    with pytest.raises(ChildFailed, match="invalid choice: 'nothing'"):
        Child("checks.bench.worker", ["nothing", "bare", "on"]).hello  # noqa: B018

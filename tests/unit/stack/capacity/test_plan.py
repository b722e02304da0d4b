"""A plan: its cells, the loads from which a setting changes, its sums, its money, and the command."""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from contracts.metadata import Manifest
from stack.capacity.plan import Plan, changed_config, plan, value_of
from stack.capacity.provider import Limits, Prices
from stack.capacity.report import show
from stack.capacity.resources import resources
from stack.capacity.sizes import Conditions, Value
from stack.settings import ROOT, effective_config, load, parse, sizing
from stack.settings.tree import Load
from tests.support.command_line import wct
from tests.support.configuration import config
from tests.unit.stack.capacity.test_sizes import BUCKET, FIGURES


def workload(kind: str, name: str, replicas: int | None, cpu: str, volume: str | None = None) -> Manifest:
    """A workload as the stack has them, with two containers."""
    requests = [{"cpu": cpu, "memory": "1Gi"}, {"cpu": "50m", "memory": "512Mi"}]
    claims = [{"spec": {"resources": {"requests": {"storage": volume}}}}] if volume else []
    return {
        "kind": kind,
        "metadata": {"name": name, "labels": {"app.kubernetes.io/component": name}},
        "spec": {
            **({"replicas": replicas} if replicas is not None else {}),
            "template": {"spec": {"containers": [{"resources": {"requests": item}} for item in requests]}},
            "volumeClaimTemplates": claims,
        },
    }


def test_the_sums_count_pods_containers_and_claims() -> None:
    scaler = {
        "kind": "HorizontalPodAutoscaler",
        "spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "collector"}, "minReplicas": 4},
    }
    manifests: list[Manifest] = [
        workload("Deployment", "gateway", 2, "1"),
        workload("StatefulSet", "collector", None, "250m", "10Gi"),
        scaler,
        {"kind": "Service"},
    ]
    asked = resources(manifests).times(3)
    assert asked.pods == 18
    assert asked.cores == pytest.approx(3 * (2 * 1.05 + 4 * 0.3))
    assert asked.memory == 3 * 6 * 1.5 * 2**30
    assert asked.volumes == 3 * 4 * 10 * 2**30
    assert asked.pods_of == {"gateway": 6, "collector": 12}
    assert resources(manifests, autoscaled=3) == resources(manifests)
    assert resources(manifests, autoscaled=9).pods_of == {"gateway": 2, "collector": 9}
    assert resources(manifests, autoscaled=9).volumes == 9 * 10 * 2**30


def planned(rate: float, prices: Prices | None = None, **sections: Any) -> Plan:
    """A plan of a stack, by default with one Jaeger, whose volume ends at 80 GiB."""
    settings = parse(config(**{"traces": {"backend": "jaeger"}, **sections}), "test")

    def render(values: Mapping[str, Value], of_cell: Load) -> list[Manifest]:
        return [workload("StatefulSet", "collector", int(values["collector.replicas"]), "150m", "10Gi")]

    conditions = Conditions(settings=settings, figures=FIGURES, limits=Limits(volume="80Gi"), outage_seconds=1)
    return plan(Load(traces_per_second=rate, spans_per_trace=10, peak=1), conditions, render, prices)


def test_a_cell_ends_where_its_first_size_cannot_grow() -> None:
    result = planned(1)
    # A trace of 10 spans x 1,000 bytes, for 336 h: 11.27 GiB for each trace/s, so that 80 GiB are enough for 7.1.
    assert result.ends[0].setting == "traces.volume"
    assert result.ends[0].traces_per_second == pytest.approx(80 * 2**30 / (10_000 * 336 * 3600), rel=0.002)
    assert [column.cells for column in result.columns] == [1, 2, 141]
    (jaeger,) = (item for item in result.thresholds if item.setting == "traces.volume")
    assert jaeger.declared == "10Gi"
    # A stack of one Collector needs another one for any load.
    assert [item.traces_per_second for item in result.thresholds if item.setting == "collector.replicas"] == [0.0]
    assert jaeger.traces_per_second == pytest.approx(10 * 2**30 / (10_000 * 336 * 3600), rel=0.002)


def test_money_is_the_sum_of_what_is_reserved() -> None:
    assert planned(1).columns[0].money is None
    prices = Prices(currency="EUR", core=10, memory_gib=2, volume_gib=0.5, object_storage_gib=0.25)
    first = planned(1, prices).columns[0]
    replicas = first.resources.pods
    assert first.money == pytest.approx(replicas * (0.2 * 10 + 1.5 * 2 + 10 * 0.5))


def test_a_bucket_has_the_spans_and_the_blocks_of_all_cells() -> None:
    columns = planned(1000, traces={"objectStorage": BUCKET}).columns
    assert columns[-1].cells > 1
    for column, rate in zip(columns, (1_000, 10_000, 1_000_000), strict=True):
        # For 336 h: 10 spans x 100 bytes a trace, and in each cell a block of 180 kB every 30 min.
        assert column.object_bytes == pytest.approx(rate * 1000 * 336 * 3600 + column.cells * 672 * 180_000)


def test_changed_settings_are_part_of_the_configuration() -> None:
    declared = {"web-crawl-tracing:collector": {"cpu": "1", "sampling": {"ratio": 0.1}}}
    changed = changed_config(
        declared, {"collector.sampling.cpu": "2", "kafka.volume": "8Gi"}, Load(traces_per_second=3)
    )
    assert changed["web-crawl-tracing:collector"] == {"cpu": "1", "sampling": {"ratio": 0.1, "cpu": "2"}}
    assert changed["web-crawl-tracing:kafka"] == {"volume": "8Gi"}
    assert changed["web-crawl-tracing:load"]["tracesPerSecond"] == 3
    assert declared["web-crawl-tracing:collector"] == {"cpu": "1", "sampling": {"ratio": 0.1}}


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_the_command_plans_sizes_that_the_settings_accept(stack: str) -> None:
    result = wct("capacity", "plan", f"--stack={stack}", "--load=20", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [column["tracesPerSecond"] for column in document["columns"]] == [20, 200, 20_000]
    cells = [column["cells"] for column in document["columns"]]
    assert cells == sorted(cells)
    for column in document["columns"]:
        of_cell = Load(traces_per_second=column["tracesPerSecond"] / column["cells"])
        settings = parse(changed_config(effective_config(stack), column["settingsOfCell"], of_cell), stack)
        assert not list(sizing.problems(settings))
        assert column["money"] is None
    first = {item["setting"]: item["declared"] for item in document["thresholds"]}
    assert first == {setting: value_of(load(stack), setting) for setting in first}


def test_a_longer_retention_enlarges_volumes_that_the_stack_file_has_too_small() -> None:
    result = wct("capacity", "plan", "--stack=staging", "--load=1", "--retention=8760h", "--json")
    assert result.exit_code == 0, result.output
    sizes = json.loads(result.stdout)["columns"][0]["settingsOfCell"]
    # 10,900 series, 15 s apart, 2 bytes a sample: 43 GiB.
    assert sizes["metrics.volume"] == "80Gi"
    assert load("staging").metrics.volume == "10Gi"


def test_the_example_of_prices_is_used() -> None:
    result = wct("capacity", "plan", "--stack=dev", "--load=1", "--provider", str(ROOT / "examples" / "provider.yaml"))
    assert result.exit_code == 0, result.output
    assert re.search(r"EUR a month +│ +\d+ │", result.stdout)


def test_names_of_settings_are_whole_in_a_narrow_terminal() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    show(planned(1, collector={"sampling": {"ratio": 0.1}}), FIGURES, console, None)
    text = console.export_text()
    assert "│ collector.sampling." in text
    assert "…" not in text


def test_a_small_load_is_shown_with_its_digits() -> None:
    result = wct("capacity", "plan", "--stack=prod", "--load=0.4", "--spans=3")
    assert result.exit_code == 0, result.output
    assert re.search(r"new traces/s on average +│ +0.4 │ +4 │ +400 │", result.stdout)
    assert re.search(r"spans/s on average +│ +1.2 │ +12 │ +1,200 │", result.stdout)
    assert re.search(r"┃ +0.4 ┃ +4 ┃ +400 ┃", result.stdout)
    assert re.search(r"pods of Collectors and samplers +│ +6 │", result.stdout)
    # 1,320 spans/s, with those that are stored, of some 68 bytes, by the latest record.
    assert re.search(r"into Kafka, MiB/s on average +│ +< 0.001 │ +< 0.001 │ +0.08[0-9]+ │", result.stdout)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "no load to plan for: use --load, or write the section load of stack dev"),
        (("--load=2000000",), "the load cannot be planned for: tracesPerSecond"),
        (("--load=1", "--retention=2d"), "the retention cannot be planned for: '2d' is not a duration in hours"),
        (("--load=1", "--retention=1h"), "the retention cannot be planned for: '1h' is not between 24h and"),
    ],
)
def test_a_load_that_cannot_be_planned_for_is_refused(options: tuple[str, ...], message: str) -> None:
    result = wct("capacity", "plan", "--stack=dev", *options)
    assert result.exit_code == 1
    assert message in result.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prices: {currency: EUR}", "prices.core"),
        ("prices: {core: .inf}", "prices.core: Input should be "),
        ("prices: {core: .nan}", "prices.core: "),
        ("prices: {currency: '[/b]'}", "prices.currency: "),
        ('prices: {currency: "\\e[31m"}', "prices.currency: "),
        ("limits: [", "cannot be read"),
        ("a: 1", "a: "),
        ("- 1", "the file has no key `prices` or `limits`"),
        ("prices: {core: !!float x}", "the prices cannot be read: could not convert"),
        ("[" * 5000, "the prices cannot be read: maximum recursion depth exceeded"),
    ],
)
def test_prices_that_cannot_be_used_are_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "provider.yaml"
    file.write_text(text)
    result = wct("capacity", "plan", "--stack=dev", "--load=1", "--provider", str(file))
    assert result.exit_code == 1
    assert message in result.output


def test_a_simulation_has_the_sizes_of_the_plan_and_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "new folder" / "queues.svg"
    options = ("--stack=prod", "--load=1000000", "--outage=0.1", "--skew=0.5", "--picture", str(picture))
    result = wct("capacity", "simulate", *options, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    plan = json.loads(wct("capacity", "plan", "--stack=prod", "--load=1000", "--outage=0.1", "--json").stdout)
    assert document["cells"] == plan["columns"][2]["cells"]
    assert document["spansOfCell"]["spans/s"] == round(16e6 / document["cells"])
    assert document["spansOfCell"]["waiting at the senders, at most"] == 0
    assert 0 < document["recoverySeconds"] < 360
    assert ElementTree.fromstring(picture.read_text()).tag.endswith("svg")


def test_a_simulation_is_printed_for_people() -> None:
    result = wct("capacity", "simulate", "--stack=dev", "--load=0.5", "--outage=0.1")
    assert result.exit_code == 0, result.output
    assert "takes nothing for 360 s at 0.5 traces/s in 1 cell " in result.stdout
    assert "Nothing waits " in result.stdout
    assert "Kafka" not in result.stdout

"""What a stack needs for a load, ten times and a thousand times as much: in how many cells, and with which sizes.

A cell is one stack in one cluster, with a share of the traffic.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts.metadata import Manifest
from stack.capacity.costs import BLOCKS, Costs
from stack.capacity.provider import Prices
from stack.capacity.resources import Resources, resources
from stack.capacity.sizes import Bound, Conditions, Sizes, Value, sizes
from stack.settings import PROJECT, Settings
from stack.settings.sizing import retained_spans, retention_seconds, stored_traces
from stack.settings.tree import Load

FACTORS: Final = (1, 10, 1000)
"""Of the load."""
_LEAST: Final = 1e-3
_MOST: Final = 1e6
"""Traces per second between which limits are searched; the setting `load.tracesPerSecond` allows no more."""
_PRECISION: Final = 1.001
_GIBIBYTE: Final = 2**30

Render = Callable[[Mapping[str, Value], Load], Sequence[Manifest]]
"""Returns the manifests of the stack with other values of some settings, and another load."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """What is needed for one load."""

    load: Load
    """Of all cells."""
    cells: int
    sizes: Sizes
    """Of each cell."""
    resources: Resources
    """Of all cells."""
    kafka_bytes: float
    """Bytes/s that Kafka gets in all cells, before its brokers copy them; averaged over a day."""
    object_bytes: float
    """Bytes of traces in buckets, in all cells; 0 without object storage."""
    tracing_cores: float
    """Cores that tracing takes in the processes of the services, at the peak."""
    money: float | None
    """A month's price; None without prices."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The load from which a setting needs another value than the stack file has."""

    setting: str
    declared: Value
    traces_per_second: float
    """0 if it needs another value for any load, such as a Collector that may be lost."""


@dataclass(frozen=True, kw_only=True)
class End:
    """The load from which one cell is not enough."""

    setting: str
    bound: Bound
    traces_per_second: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of one stack."""

    columns: Sequence[Column]
    thresholds: Sequence[Threshold]
    """The first one to come first."""
    ends: Sequence[End]
    """The first one is where a cell ends."""


def plan(load: Load, conditions: Conditions, render: Render, prices: Prices | None = None) -> Plan:
    """Return the plan for a load and its multiples.

    Args:
        load: of all cells.
        conditions: what the sizes depend on.
        render: makes the manifests of a cell.
        prices: of the provider.
    """

    sizes_for = _sizes_for(load, conditions)
    ends = _ends(sizes_for)
    largest = ends[0].traces_per_second if ends else _MOST
    columns = []
    for factor in FACTORS:
        total = _at(load, load.traces_per_second * factor)
        cells = _cells(total, largest)
        columns.append(_column(total, cells, conditions, render, prices))
    return Plan(columns=columns, thresholds=_thresholds(sizes_for, conditions.settings, largest), ends=ends)


def cell_of(load: Load, conditions: Conditions) -> tuple[int, Load, Sizes]:
    """Return the number of cells for a load, the load of each, and its sizes."""

    sizes_for = _sizes_for(load, conditions)
    ends = _ends(sizes_for)
    cells = _cells(load, ends[0].traces_per_second if ends else _MOST)
    rate = load.traces_per_second / cells
    return cells, _at(load, rate), sizes_for(rate)


def _at(load: Load, traces_per_second: float) -> Load:
    return load.model_copy(update={"traces_per_second": traces_per_second})


def _sizes_for(load: Load, conditions: Conditions) -> Callable[[float], Sizes]:
    """Return the sizes of one cell by traces per second."""
    return lambda traces_per_second: sizes(_at(load, traces_per_second), conditions)


def _cells(load: Load, largest: float) -> int:
    return math.ceil(load.traces_per_second / largest)


def _column(total: Load, cells: int, conditions: Conditions, render: Render, prices: Prices | None) -> Column:
    of_cell = _at(total, total.traces_per_second / cells)
    needed = sizes(of_cell, conditions)
    costs, settings = Costs(conditions.figures), needed.settings
    spans = total.traces_per_second * total.spans_per_trace * settings.tracing.sampling_rate
    through_kafka = (spans if settings.collector.sampling else 0) + (
        stored_traces(total, settings) * total.spans_per_trace if settings.traces.distributed else 0
    )
    blocks = cells * BLOCKS["tempo"] * retention_seconds(settings)
    stored = (
        costs.store_bytes("tempo", retained_spans(total, settings), blocks) if settings.traces.object_storage else 0
    )
    asked = resources(render(needed.values, of_cell), needed.collectors).times(cells)
    return Column(
        load=total,
        cells=cells,
        sizes=needed,
        resources=asked,
        kafka_bytes=costs.broker_bytes(through_kafka),
        object_bytes=stored,
        tracing_cores=costs.tracing_cores(spans * total.peak),
        money=_money(asked, stored, prices) if prices else None,
    )


def _money(asked: Resources, object_bytes: float, prices: Prices) -> float:
    return (
        asked.cores * prices.core
        + asked.memory / _GIBIBYTE * prices.memory_gib
        + asked.volumes / _GIBIBYTE * prices.volume_gib
        + object_bytes / _GIBIBYTE * prices.object_storage_gib
    )


def _ends(sizes_for: Callable[[float], Sizes]) -> list[End]:
    ends = []
    for setting, bound in sizes_for(_MOST).bounds.items():

        def is_reached(rate: float, setting: str = setting) -> bool:
            return setting in sizes_for(rate).bounds

        ends.append(End(setting=setting, bound=bound, traces_per_second=_last_without(is_reached)))
    return sorted(ends, key=lambda end: end.traces_per_second)


def _thresholds(sizes_for: Callable[[float], Sizes], settings: Settings, largest: float) -> list[Threshold]:
    thresholds = []
    for setting, value in sizes_for(largest).values.items():
        declared = value_of(settings, setting)
        if value == declared:
            continue

        def is_other(rate: float, setting: str = setting, declared: Value = declared) -> bool:
            return sizes_for(rate).values[setting] != declared

        load = 0.0 if is_other(_LEAST) else _last_without(is_other)
        thresholds.append(Threshold(setting=setting, declared=declared, traces_per_second=load))
    return sorted(thresholds, key=lambda threshold: threshold.traces_per_second)


def _last_without(is_reached: Callable[[float], bool]) -> float:
    """Return the largest load at which something is not reached yet, to a thousandth."""
    low, high = _LEAST, _MOST
    while high / low > _PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_reached(middle) else (middle, high)
    return low


def value_of(settings: Settings, setting: str) -> Any:
    """Return the value of a setting by its name in stack files."""
    value: Any = settings
    for part in setting.split("."):
        name = next(name for name, info in type(value).model_fields.items() if info.alias == part)
        value = getattr(value, name)
    return value


def changed_config(config: Mapping[str, Any], values: Mapping[str, Value], load: Load) -> dict[str, Any]:
    """Return a configuration of Pulumi with other values of some settings.

    Args:
        config: `project:key` → value.
        values: setting → value.
        load: becomes the section `load`.
    """
    changed = {**config, f"{PROJECT}:load": load.model_dump(by_alias=True)}
    for setting, value in values.items():
        section, *path = setting.split(".")
        key = f"{PROJECT}:{section}"
        changed[key] = _changed(changed.get(key) or {}, path, value)
    return changed


def _changed(tree: Mapping[str, Any], path: Sequence[str], value: Value) -> dict[str, Any]:
    name, *rest = path
    return {**tree, name: _changed(tree.get(name) or {}, rest, value) if rest else value}

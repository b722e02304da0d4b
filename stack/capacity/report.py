"""Shows a plan: tables for a terminal, or JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.table import Column as TableColumn
from rich.table import Table

from stack.capacity.figures import QUANTITIES, Figures, in_digits, in_full
from stack.capacity.picture import in_cells, in_units
from stack.capacity.plan import Column, Plan
from stack.capacity.provider import Prices
from stack.capacity.simulation import Simulated

_GIBIBYTE: Final = 2**30
_MEBIBYTE: Final = 2**20
_COMPONENTS: Final = {
    "collector": "Collectors and samplers",
    "queue": "Kafka",
    "trace-store": "the trace store",
}
"""Label of the pods → what is shown."""
CELLS: Final = (
    ("a cell has its own", "Kubernetes cluster, services, Kafka, Postgres, Collectors, samplers, trace store, "
     "Prometheus, Loki"),
    ("cells can share", "Grafana and Alertmanager (grafana.external, alerting.external), the bucket (one prefix "
     "each), the image registry"),
    ("traffic", "each caller belongs to one cell: the spans of a trace must meet at one sampler"),
    ("the cluster", "Kubernetes supports 5,000 nodes and 150,000 pods "
     "(https://kubernetes.io/docs/setup/best-practices/cluster-large/), far more than a cell has"),
)  # fmt: skip
NOT_PART: Final = (
    "the work of the services themselves, Postgres, Loki, Grafana and the volumes of Tempo in parts: they keep the "
    "sizes of the stack file",
    "logs in a bucket",
    "a Kafka, a database and stores that you have already (`external` in the settings)",
    "traces that collector.sampling keeps because they failed or were slow, in addition to the ratio",
    "traffic between zones and requests to buckets, which providers charge, too",
    "Tempo in parts: each part gets the CPU that the single process needs for all of its work",
)


def show(plan: Plan, figures: Figures, console: Console, prices: Prices | None) -> None:
    """Print the plan."""
    console.print(_needs(plan.columns, prices))
    console.print(_settings(plan))
    console.print(_ends(plan))
    console.print(_texts("Cells", CELLS))
    console.print(_figures(figures))
    console.print("Not part of the plan:")
    for item in NOT_PART:
        console.print(f"- {item}", soft_wrap=True)


def document(plan: Plan, figures: Figures, prices: Prices | None) -> dict[str, Any]:
    """Return the plan for JSON; bytes are numbers of bytes, money is of a month."""
    return {
        "columns": [
            {
                "tracesPerSecond": column.load.traces_per_second,
                "spansPerTrace": column.load.spans_per_trace,
                "peak": column.load.peak,
                "cells": column.cells,
                "pods": column.resources.pods,
                "cores": round(column.resources.cores, 2),
                "memoryBytes": column.resources.memory,
                "volumeBytes": column.resources.volumes,
                "podsOfComponent": column.resources.pods_of,
                "kafkaBytesPerSecond": round(column.kafka_bytes),
                "kafkaPartitionsOfCell": column.sizes.settings.kafka.partitions,
                "objectStorageBytes": round(column.object_bytes),
                "tracingCoresInServices": round(column.tracing_cores, 3),
                "money": None if column.money is None else round(column.money, 2),
                "settingsOfCell": column.sizes.values,
            }
            for column in plan.columns
        ],
        "currency": prices.currency if prices else None,
        "thresholds": [asdict(threshold) for threshold in plan.thresholds],
        "cellEnds": [asdict(end) for end in plan.ends],
        "figures": {name: asdict(figure) for name, figure in figures.items()},
    }


def show_simulation(simulated: Simulated, console: Console) -> None:
    """Print what a simulation showed."""
    table = Table("", title=_title(simulated), title_justify="left")
    for heading in ("one cell", "all cells"):
        table.add_column(heading, justify="right")
    for name, value in _rows(simulated):
        table.add_row(name, in_units(value), in_units(value * simulated.cells))
    console.print(table)
    result, hottest = simulated.result, max(simulated.model.shares, default=0) * len(simulated.model.shares)
    if result.recovery_seconds is None:
        console.print("[bold red]Spans still wait a day after the end of the outage.[/]")
    else:
        console.print(f"Nothing waits {result.recovery_seconds:,.0f} s after the end of the outage.")
    if simulated.model.shares:
        console.print(f"The fullest partition gets {hottest:.2f} times the spans of the average one.")


def simulation_document(simulated: Simulated) -> dict[str, Any]:
    """Return the result of a simulation for JSON."""
    result, model = simulated.result, simulated.model
    return {
        "tracesPerSecond": simulated.load.traces_per_second,
        "cells": simulated.cells,
        "outageSeconds": simulated.outage_seconds,
        "recoverySeconds": result.recovery_seconds,
        "hottestPartition": max(model.shares, default=0) * len(model.shares) or None,
        "spansOfCell": {name: round(value) for name, value in _rows(simulated)},
    }


def _title(simulated: Simulated) -> str:
    return (
        f"The store takes nothing for {simulated.outage_seconds:,.0f} s at "
        f"{in_full(simulated.load.traces_per_second)} traces/s in {in_cells(simulated.cells)}"
    )


def _rows(simulated: Simulated) -> list[tuple[str, float]]:
    result, model = simulated.result, simulated.model
    rows = [
        ("spans/s", model.arriving),
        ("waiting at the senders, at most", result.most("senders")),
        ("in the Collectors' queues, at most", result.most("collectors")),
        ("room in the Collectors' queues", model.collector_queue),
    ]
    if model.shares:
        rows += [
            ("in Kafka, at most", result.most("kafka")),
            ("in its fullest partition, at most", result.most("hottest")),
            ("room in a partition", model.partition_room),
            ("in the samplers' queues, at most", result.most("samplers")),
            ("room in the samplers' queues", model.sampler_queue * model.samplers),
            ("deleted by Kafka before they were read", result.lost),
        ]
    return rows


def needs(columns: Sequence[Column], prices: Prices | None) -> list[tuple[str, ...]]:
    """Return the rows of what the loads need: a name, and a text for each load."""
    rows: list[tuple[str, Callable[[Column], str]]] = [
        ("new traces/s on average", lambda item: in_full(_rate(item))),
        ("spans/s on average", lambda item: in_full(_spans(item))),
        ("spans/s in the busiest minute", lambda item: in_full(_spans(item) * item.load.peak)),
        ("cells", lambda item: f"{item.cells:,}"),
        ("pods", lambda item: f"{item.resources.pods:,}"),
        ("cores", lambda item: f"{item.resources.cores:,.1f}"),
        ("memory, GiB", lambda item: f"{item.resources.memory / _GIBIBYTE:,.0f}"),
        ("volumes, GiB", lambda item: f"{item.resources.volumes / _GIBIBYTE:,.0f}"),
        ("object storage of traces, GiB", lambda item: in_full(item.object_bytes / _GIBIBYTE)),
        ("into Kafka, MiB/s on average", lambda item: in_full(item.kafka_bytes / _MEBIBYTE)),
        ("partitions of a topic, in a cell", lambda item: f"{item.sizes.settings.kafka.partitions:,}"),
        ("cores of tracing in the services", lambda item: in_full(item.tracing_cores)),
    ]
    if prices:
        rows.append((f"{prices.currency} a month", lambda item: f"{item.money:,.0f}"))
    rows += [
        (f"pods of {title}", lambda item, name=name: f"{item.resources.pods_of.get(name, 0):,}")  # type: ignore[misc]
        for name, title in _COMPONENTS.items()
    ]
    return [(name, *map(cell, columns)) for name, cell in rows]


def _needs(columns: Sequence[Column], prices: Prices | None) -> Table:
    table = Table("", title="What the load needs", title_justify="left")
    for column in columns:
        factor = column.load.traces_per_second / columns[0].load.traces_per_second
        table.add_column("the load" if factor == 1 else f"{factor:,.0f} x", justify="right")
    for row in needs(columns, prices):
        table.add_row(*row)
    return table


def _rate(column: Column) -> float:
    return column.load.traces_per_second


def _spans(column: Column) -> float:
    return column.load.traces_per_second * column.load.spans_per_trace


def _settings(plan: Plan) -> Table:
    table = Table(
        TableColumn("setting", overflow="fold"),
        title="Settings of a cell that change, from which load, and to what",
        title_justify="left",
    )
    for heading in (
        # Narrow, so that names of settings have room in a terminal of 80 columns.
        "stack\nfile",
        "enough\nup to\ntraces/s",
        *(f"{in_full(_rate(item))}\ntraces/s\n{in_cells(item.cells)}" for item in plan.columns),
    ):
        table.add_column(heading, justify="right")
    for threshold in plan.thresholds:
        values = (str(column.sizes.values[threshold.setting]) for column in plan.columns)
        enough = in_digits(threshold.traces_per_second)
        table.add_row(threshold.setting, str(threshold.declared), enough, *values)
    return table


def _ends(plan: Plan) -> Table:
    table = Table(
        TableColumn("reached by", overflow="fold"),
        title="Where a cell ends: the first row decides",
        title_justify="left",
    )
    table.add_column("traces/s", justify="right")
    table.add_column("why")
    table.add_column("source", overflow="fold")  # addresses in full
    for end in plan.ends:
        table.add_row(end.setting, in_digits(end.traces_per_second), end.bound.reason, end.bound.source)
    return table


def _texts(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    table = Table("", TableColumn(overflow="fold"), title=title, title_justify="left", show_header=False)
    for row in rows:
        table.add_row(*row)
    return table


def _figures(figures: Figures) -> Table:
    table = Table("figure", title="Measured by this repository", title_justify="left")
    table.add_column("value", justify="right")
    for heading in ("unit", "date", "command", "machine"):
        table.add_column(heading)
    for name, quantity in QUANTITIES.items():
        figure = figures[name]
        table.add_row(
            quantity.title, in_digits(figure.value), quantity.unit, figure.date, quantity.command, figure.machine
        )
    return table

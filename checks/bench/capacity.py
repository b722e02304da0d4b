"""`make capacity` measures how many spans per second and core this Collector and a plain one take, in one run."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table

from checks.bench.capacity_load import CountingStore, Request, requests, send
from checks.harness.collector import TOKEN, CollectorProcess, require_own_distribution
from collector.pipeline import OtlpTarget, Pipeline, render
from contracts import metrics
from contracts.errors import UserError
from stack.capacity.figures import record, this_run
from stack.components.collector.memory import garbage_collection
from stack.polling import poll_until

OUTPUT: Final = Path(".local/bench/capacity.json")
_SENDERS: Final = 6
_QUEUE: Final = 200_000
_MEMORY: Final = "512Mi"
"""The default of the setting `collector.memory`."""

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Round:
    """The measurement of one Collector, from the load until it has sent all acknowledged spans."""

    spans: int
    cpu_seconds: float
    peak_mib: float
    whole: bool
    """The Collector sent exactly the acknowledged spans: the same number, with the same ids."""

    @property
    def per_core(self) -> float:
        """Spans per second of CPU time."""
        return self.spans / self.cpu_seconds


def plain(config: dict[str, Any]) -> None:
    """Change the configuration to the usual one: a batch processor, a queue in memory."""
    config["processors"] = {"memory_limiter": config["processors"]["memory_limiter"], "batch": {}}
    exporter = config["exporters"]["otlp_grpc/traces"]
    config["exporters"] = {"otlp_grpc/traces": {"endpoint": exporter["endpoint"], "tls": {"insecure": True}}}
    _only(config, processors=["memory_limiter", "batch"], exporters=["otlp_grpc/traces"])


def in_memory(config: dict[str, Any]) -> None:
    """Keep only the queue, in memory: no disk, no redaction, no span metrics."""
    queue = config["exporters"]["otlp_grpc/traces"]["sending_queue"]
    del queue["storage"]
    queue["queue_size"] = 20_000  # a larger queue would measure the memory of a backlog
    _only(config, processors=["memory_limiter"], exporters=["otlp_grpc/traces"])


def on_disk(config: dict[str, Any]) -> None:
    """Keep only the queue, on disk."""
    _only(config, processors=["memory_limiter"], exporters=["otlp_grpc/traces"])


def redacted(config: dict[str, Any]) -> None:
    """Keep the queue on disk and the redaction; remove the span metrics."""
    _only(config, exporters=["otlp_grpc/traces"])


def complete(config: dict[str, Any]) -> None:
    """Keep the configuration as it is deployed."""


VARIANTS: Final[Mapping[str, Change]] = {
    "plain": plain,
    "in memory": in_memory,
    "on disk": on_disk,
    "on disk, redacted": redacted,
    "complete": complete,
    "on disk, redacted in one pass": redacted,
    "complete, redacted in one pass": complete,
}
FIGURES: Final[Mapping[str, str]] = {
    "plain": "collector.plain",
    "complete": "collector.complete",
    "complete, redacted in one pass": "collector.onePass",
}
"""Configuration → the figure of the repository that it is."""
_OWN_DISTRIBUTION: Final = frozenset(name for name in VARIANTS if name.endswith("in one pass"))


def _only(config: dict[str, Any], *, exporters: list[str], processors: list[str] | None = None) -> None:
    """Keep only the traces pipeline and its components."""
    pipeline = config["service"]["pipelines"]["traces"]
    pipeline["exporters"] = exporters
    pipeline["processors"] = pipeline["processors"] if processors is None else processors
    config["service"]["pipelines"] = {"traces": pipeline}
    config["exporters"] = {name: config["exporters"][name] for name in exporters}
    config["processors"] = {name: config["processors"][name] for name in pipeline["processors"]}
    config.pop("connectors", None)


def measure(change: Change, made: list[Request], *, seconds: float, own_distribution: bool = False) -> Round:
    """Run one round in a temporary directory."""
    store = CountingStore()
    with tempfile.TemporaryDirectory(dir=".") as directory:
        config = yaml.safe_load(
            render(
                Pipeline(
                    trace_store=OtlpTarget(f"127.0.0.1:{store.port}"),
                    metric_stores=[OtlpTarget("http://127.0.0.1:9", "http")],
                    queue_size=_QUEUE,
                    own_distribution=own_distribution,
                )
            )
        )
        change(config)
        collector = CollectorProcess(
            Path(directory).resolve() / "collector", yaml.safe_dump(config), environment=garbage_collection(_MEMORY)
        )
        collector.start()
        try:
            send(made, collector.grpc, TOKEN, seconds=0.5, senders=_SENDERS)  # warm up connections and pools
            _drained(collector, store)
            store.tally()
            cpu_at_start = collector.cpu_seconds()
            acknowledged = send(made, collector.grpc, TOKEN, seconds=seconds, senders=_SENDERS)
            _drained(collector, store)
            used, peak = collector.cpu_seconds() - cpu_at_start, collector.peak_mib()
        finally:
            collector.kill()
            store.stop()
    received = store.tally()
    return Round(
        spans=acknowledged.spans,
        cpu_seconds=used,
        peak_mib=peak,
        whole=(received.spans, received.digest) == (acknowledged.spans, acknowledged.digest),
    )


def _drained(collector: CollectorProcess, store: CountingStore) -> None:
    """Wait until the Collector has sent all accepted spans."""

    def drained() -> bool:
        accepted = collector.metric(metrics.ACCEPTED_SPANS)
        return accepted > 0 and accepted == collector.metric(metrics.SENT_SPANS, exporter="otlp_grpc/traces")

    poll_until("the Collector to send all accepted spans", drained, seconds=120, every=0.05)


def show(results: Mapping[str, list[Round]], console: Console) -> None:
    """Print the medians and their ratio to the plain configuration."""
    table = Table(title="Spans per second of CPU time", title_justify="left")
    for heading in (
        "configuration",
        "spans/s per core",
        "lowest … highest",
        "µs per span",
        "of plain",
        "peak MiB",
        "sent = received",
    ):
        table.add_column(heading, justify="left" if heading == "configuration" else "right")
    base = median(item.per_core for item in results["plain"])
    for name, rounds in results.items():
        rates = [item.per_core for item in rounds]
        table.add_row(
            name,
            f"{median(rates):,.0f}",
            f"{min(rates):,.0f} … {max(rates):,.0f}",
            f"{1e6 / median(rates):.1f}",
            f"{median(rates) / base:.2f}",
            f"{max(item.peak_mib for item in rounds):.0f}",
            "yes" if all(item.whole for item in rounds) else "[bold red]no[/]",
        )
    console.print(table)


def run(
    console: Console, *, rounds: int = 5, seconds: float = 4, only: Sequence[str] = (), must_record: bool = False
) -> None:
    """The command: measure each configuration in turns, and print and store the results.

    Args:
        console: where the results are printed.
        rounds: rounds of each configuration.
        seconds: seconds of load in each round.
        only: the configurations to compare with the plain one; all if empty.
        must_record: whether the results become the figures of the repository.

    Raises:
        UserError: a configuration does not exist, the Collector lacks the project's processor, or it did not send
            exactly the acknowledged spans.
    """
    if unknown := sorted(set(only) - VARIANTS.keys()):
        raise UserError(f"unknown configuration {unknown[0]!r}; the known ones are {', '.join(map(repr, VARIANTS))}")
    names = [name for name in VARIANTS if not only or name in ("plain", *only)]
    if _OWN_DISTRIBUTION & set(names):
        require_own_distribution()
    load = requests()
    results: dict[str, list[Round]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            result = measure(VARIANTS[name], load, seconds=seconds, own_distribution=name in _OWN_DISTRIBUTION)
            results[name].append(result)
            console.print(f"{number + 1}/{rounds} {name}: {result.per_core:,.0f} spans/s per core", style="dim")
    show(results, console)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "cores": os.cpu_count(),
        "rounds": {name: [asdict(item) for item in items] for name, items in results.items()},
    }
    OUTPUT.write_text(json.dumps(document, indent=1))
    if not all(item.whole for items in results.values() for item in items):
        raise UserError("the Collector did not send exactly the acknowledged spans")
    if must_record:
        values = {FIGURES[name]: [item.per_core for item in results[name]] for name in names if name in FIGURES}
        record(values, this_run())

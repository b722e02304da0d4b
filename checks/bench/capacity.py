"""`make capacity`: spans that a Collector takes with one core, ours beside a plain one, in one run."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table

from checks.bench.capacity_load import CountingStore, Request, requests, send
from checks.harness.collector import TOKEN, CollectorProcess
from collector.pipeline import Pipeline, render
from stack.polling import poll_until

OUTPUT: Final = Path(".local/bench/capacity.json")
_SENDERS: Final = 6
_QUEUE: Final = 200_000

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Round:
    """One Collector under load until everything it acknowledged had come out."""

    spans: int
    cpu_seconds: float
    peak_mib: float
    whole: bool
    """What came out is what was acknowledged: as many spans, with the same ids."""

    @property
    def per_core(self) -> float:
        """Spans for a second of CPU time."""
        return self.spans / self.cpu_seconds


def plain(config: dict[str, Any]) -> None:
    """What the Collector's documentation begins with: a batch processor, a queue in memory."""
    config["processors"] = {"memory_limiter": config["processors"]["memory_limiter"], "batch": {}}
    exporter = config["exporters"]["otlp_grpc/traces"]
    config["exporters"] = {"otlp_grpc/traces": {"endpoint": exporter["endpoint"], "tls": {"insecure": True}}}
    _only(config, processors=["memory_limiter", "batch"], exporters=["otlp_grpc/traces"])


def in_memory(config: dict[str, Any]) -> None:
    """Ours without disk, redaction and span metrics: what is left moves spans."""
    queue = config["exporters"]["otlp_grpc/traces"]["sending_queue"]
    del queue["storage"]
    queue["queue_size"] = 20_000  # or its memory would be that of a backlog
    _only(config, processors=["memory_limiter"], exporters=["otlp_grpc/traces"])


def on_disk(config: dict[str, Any]) -> None:
    """The queue on disk, and nothing else."""
    _only(config, processors=["memory_limiter"], exporters=["otlp_grpc/traces"])


def redacted(config: dict[str, Any]) -> None:
    """The queue on disk and redaction: all but span metrics."""
    _only(config, exporters=["otlp_grpc/traces"])


def complete(config: dict[str, Any]) -> None:
    """As it is deployed."""


VARIANTS: Final[Mapping[str, Change]] = {
    "plain": plain,
    "in memory": in_memory,
    "on disk": on_disk,
    "on disk, redacted": redacted,
    "complete": complete,
}


def _only(config: dict[str, Any], *, exporters: list[str], processors: list[str] | None = None) -> None:
    """Leaves one pipeline, of traces, and what it uses."""
    pipeline = config["service"]["pipelines"]["traces"]
    pipeline["exporters"] = exporters
    pipeline["processors"] = pipeline["processors"] if processors is None else processors
    config["service"]["pipelines"] = {"traces": pipeline}
    config["exporters"] = {name: config["exporters"][name] for name in exporters}
    config["processors"] = {name: config["processors"][name] for name in pipeline["processors"]}
    config.pop("connectors", None)


def measure(change: Change, made: list[Request], *, seconds: float) -> Round:
    """One round in a directory of its own."""
    store = CountingStore()
    with tempfile.TemporaryDirectory(dir=".") as directory:
        config = yaml.safe_load(
            render(
                Pipeline(trace_store=f"127.0.0.1:{store.port}", metric_store="http://127.0.0.1:9", queue_size=_QUEUE)
            )
        )
        change(config)
        # GOMEMLIMIT as stack/components/collector.py sets it for the default of 512Mi.
        collector = CollectorProcess(
            Path(directory).resolve() / "collector", yaml.safe_dump(config), environment={"GOMEMLIMIT": "409MiB"}
        )
        collector.start()
        try:
            send(made, collector.grpc, TOKEN, seconds=0.5, senders=_SENDERS)  # connections, code paths, pools
            _drained(collector, store)
            store.tally()
            before = collector.cpu_seconds()
            acknowledged = send(made, collector.grpc, TOKEN, seconds=seconds, senders=_SENDERS)
            _drained(collector, store)
            used, peak = collector.cpu_seconds() - before, collector.peak_mib()
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
    """Waits until all that was accepted was sent."""

    def drained() -> bool:
        accepted = collector.metric("otelcol_receiver_accepted_spans_total")
        return accepted > 0 and accepted == collector.metric(
            "otelcol_exporter_sent_spans_total", exporter="otlp_grpc/traces"
        )

    poll_until("the Collector to have sent what it accepted", drained, seconds=120, every=0.05)


def show(results: Mapping[str, list[Round]], console: Console) -> None:
    """Prints medians and the ratio to the plain configuration."""
    table = Table(title="Spans for a second of CPU time", title_justify="left")
    for heading in (
        "configuration",
        "spans/s a core",
        "lowest … highest",
        "µs a span",
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


def main() -> None:
    """Exit code 1 if spans got lost."""
    parser = argparse.ArgumentParser(prog="python -m checks.bench.capacity", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each configuration, in turns (5)")
    parser.add_argument("--seconds", type=float, default=4, help="of load in each (4)")
    parser.add_argument("--only", action="append", choices=list(VARIANTS), help="these, beside plain; may be repeated")
    asked = parser.parse_args()
    names = [name for name in VARIANTS if not asked.only or name in ("plain", *asked.only)]
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    made = requests()
    results: dict[str, list[Round]] = {name: [] for name in names}
    for number in range(asked.rounds):
        for name in names:
            result = measure(VARIANTS[name], made, seconds=asked.seconds)
            results[name].append(result)
            console.print(f"{number + 1}/{asked.rounds} {name}: {result.per_core:,.0f} spans/s a core", style="dim")
    show(results, console)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "cores": os.cpu_count(),
        "rounds": {name: [asdict(item) for item in of] for name, of in results.items()},
    }
    OUTPUT.write_text(json.dumps(document, indent=1))
    if not all(item.whole for of in results.values() for item in of):
        sys.exit("error: what came out is not what was acknowledged")


if __name__ == "__main__":
    main()

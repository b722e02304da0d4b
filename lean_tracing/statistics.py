"""The library's account of itself: how every span and log record ended, and what that cost.

While nothing changes, for each signal: ended = exported + dropped + refused + queued + buffered + in flight.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Counts(Counter[str]):
    """Counts by reason. Under the GIL, `counts[reason] += 1` is one step."""

    # Returns 0. In the base class it is a function in Python, before which another thread may count the same reason.
    __missing__ = ().count  # type: ignore[assignment]


@dataclass(kw_only=True)
class SignalStatistics:
    """The counts of one signal, `traces` or `logs`. Under the GIL they need no lock."""

    signal: str
    queue_capacity: int
    buffer_capacity: int
    ended: int = 0
    exported: int = 0
    dropped: Counts = field(default_factory=Counts)
    """By reason: queue_full, buffer_full, encoding, shutdown, error (in hand when the export raised an exception)."""
    refused: Counts = field(default_factory=Counts)
    """By reason: too_large (one item that no request has room for), partial (some of an accepted request), or the
    receiver's gRPC code in lower case."""
    errors: Counts = field(default_factory=Counts)
    """Errors of the export itself, which cost no item, by kind: answer (accepted, with a response that makes no sense),
    send (an exception instead of a response), loop (any other exception), thread (none could be started), log (a
    handler raised)."""
    requests: Counts = field(default_factory=Counts)
    """Export requests by gRPC code in lower case; `exception` if the client raised one instead."""
    request_seconds: float = 0.0
    request_buckets: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS) + 1))
    worker_cpu_seconds: float = 0.0
    """CPU time of the exporting thread: redacting, encoding, sending."""
    in_flight: int = 0
    queued: Callable[[], int] = lambda: 0
    buffered: Callable[[], tuple[int, int, int]] = lambda: (0, 0, 0)
    """Items, batches and bytes."""
    breaker: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """The breaker's state (0 closed, 1 half-open, 2 open), and how often it has opened."""

    def requested(self, code: str, seconds: float) -> None:
        """Counts one export request."""
        self.requests[code] += 1
        self.request_seconds += seconds
        self.request_buckets[bisect_left(_SECONDS, seconds)] += 1

    @property
    def cumulated_buckets(self) -> list[tuple[str, int]]:
        """Of the requests' durations: each bound, and how many took no longer."""
        return list(zip((*map(str, _SECONDS), "+Inf"), accumulate(self.request_buckets), strict=True))

    @property
    def lost(self) -> int:
        """Dropped and refused."""
        # Copies, because another thread may count a new reason at the same time.
        return sum(dict(self.dropped).values()) + sum(dict(self.refused).values())

    @property
    def unaccounted(self) -> int:
        """0, unless the account has an error; while another thread changes it, it may be wrong for a moment."""
        return self.ended - self.exported - self.lost - self.queued() - self.buffered()[0] - self.in_flight


@dataclass(kw_only=True, slots=True)
class SpanCounts:
    """The counts of the tracer, before any export."""

    started: int = 0
    sampled_out: int = 0
    timed: int = 0
    timed_ns: int = 0

    @property
    def starting_seconds(self) -> float:
        """Time that the service spent on starting spans, estimated from the spans that were timed."""
        return self.timed_ns * 1e-9 * self.started / self.timed if self.timed else 0.0


class Statistics(Collector):
    """A Prometheus collector: `registry.register(tracing.statistics)`."""

    def __init__(self, spans: SpanCounts, signals: Iterable[SignalStatistics]) -> None:
        self.spans = spans
        self.signals = tuple(signals)

    def collect(self) -> Iterator[Metric]:
        """The metrics, all with the prefix `tracing_`."""
        yield CounterMetricFamily("tracing_spans_started", "Spans begun that are recorded.", value=self.spans.started)
        yield CounterMetricFamily(
            "tracing_spans_sampled_out", "Spans not recorded, by decision of the sampler.", value=self.spans.sampled_out
        )
        overhead = _counter(
            "overhead_seconds", "Time taken from the service: starting spans (estimated), exporting (CPU).", "part"
        )
        overhead.add_metric(["start"], self.spans.starting_seconds)
        overhead.add_metric(["export"], sum(signal.worker_cpu_seconds for signal in self.signals))
        yield overhead
        yield from self._counters()
        yield from self._gauges()
        duration = HistogramMetricFamily("tracing_export_duration_seconds", "Time of a request.", labels=("signal",))
        for signal in self.signals:
            duration.add_metric([signal.signal], buckets=signal.cumulated_buckets, sum_value=signal.request_seconds)
        yield duration

    def _counters(self) -> Iterator[Metric]:
        ended = _counter("items_ended", "Spans and log records handed to export.", "signal")
        exported = _counter("items_exported", "Acknowledged by the receiver.", "signal")
        dropped = _counter("items_dropped", "Dropped by this process.", "signal", "reason")
        refused = _counter(
            "items_refused", "Refused for good: by the receiver, or as too large for any request.", "signal", "reason"
        )
        requests = _counter("export_requests", "Export requests by gRPC code.", "signal", "code")
        errors = _counter("export_errors", "Errors of the export itself, by kind.", "signal", "kind")
        cpu = _counter("export_cpu_seconds", "CPU time of redacting, encoding and sending.", "signal")
        opened = _counter("breaker_opened", "How often the circuit breaker opened.", "signal")
        for signal in self.signals:
            name = [signal.signal]
            ended.add_metric(name, signal.ended)
            exported.add_metric(name, signal.exported)
            for family, counts in (
                (dropped, signal.dropped),
                (refused, signal.refused),
                (requests, signal.requests),
                (errors, signal.errors),
            ):
                for reason, count in dict(counts).items():
                    family.add_metric([*name, reason], count)
            cpu.add_metric(name, signal.worker_cpu_seconds)
            opened.add_metric(name, signal.breaker()[1])
        yield from (ended, exported, dropped, refused, requests, errors, cpu, opened)

    def _gauges(self) -> Iterator[Metric]:
        queued = _gauge("queue_items", "Waiting to be encoded.")
        capacity = _gauge("queue_capacity_items", "At most.")
        in_flight = _gauge("in_flight_items", "In a request that is being sent.")
        buffered = _gauge("buffer_items", "Encoded, waiting until the receiver is available again.")
        batches = _gauge("buffer_batches", "Export requests among them.")
        size = _gauge("buffer_bytes", "Compressed.")
        limit = _gauge("buffer_capacity_bytes", "At most.")
        state = _gauge("breaker_state", "0 closed, 1 half-open, 2 open: nothing is sent.")
        for signal in self.signals:
            name = [signal.signal]
            queued.add_metric(name, signal.queued())
            capacity.add_metric(name, signal.queue_capacity)
            in_flight.add_metric(name, signal.in_flight)
            items, count, used = signal.buffered()
            buffered.add_metric(name, items)
            batches.add_metric(name, count)
            size.add_metric(name, used)
            limit.add_metric(name, signal.buffer_capacity)
            state.add_metric(name, signal.breaker()[0])
        yield from (queued, capacity, in_flight, buffered, batches, size, limit, state)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"tracing_{name}", text, labels=labels)


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tracing_{name}", text, labels=("signal",))

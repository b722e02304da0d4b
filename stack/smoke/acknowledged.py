"""What is known of spans in a trace store that cannot be queried: the senders count what its receiver acknowledges.

The counters are those of all spans, so they prove nothing of one trace. A queue passes its spans on in the order in
which they came. So the spans of the check have left it once as many spans were sent as had been accepted, and none was
given up. Without other traffic both numbers are equal.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from contracts import endpoints, metrics
from contracts.metrics import INSTANCE, JOB
from dashboards.config import MonitoringConfig
from dashboards.queries import OTLP_TRACES, equals, series
from dashboards.rules.stages import KEPT, legs
from stack.clients.prometheus import PrometheusClient
from stack.polling import CheckFailure, poll_until
from stack.probe.calls import CALLS_QUERY, count_calls, uncounted
from stack.probe.request import SMOKE_CHECK
from stack.settings import Settings
from stack.settings.monitoring import monitoring_config
from stack.smoke.model import Acknowledgement

_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 1.0
_ENDED_SECONDS: Final = 60
"""A pod that was not scraped for this time has ended: four times the longest interval that the settings allow."""
_SAMPLER: Final = equals(JOB, endpoints.SAMPLER)

T = TypeVar("T")
_ByPod = Mapping[tuple[str, str], float]
"""Job and instance → value."""


@dataclass(frozen=True, kw_only=True)
class SpanExporter:
    """The programs of one kind that pass spans on, and the selectors of their counters."""

    program: str
    accepted: str
    """Spans that they are to pass on."""
    sent: str
    """Spans that their receiver has acknowledged."""
    given_up: str
    waiting: str
    """Gauge of the spans in their queues."""
    span_metric: str
    """Counts the accepted spans, with the label of their service."""

    @property
    def calls(self) -> str:
        """Query of the accepted spans, by service."""
        return f"sum by ({metrics.SERVICE}) ({self.span_metric})"


def span_exporters(config: MonitoringConfig) -> tuple[SpanExporter, ...]:
    """Returns the senders on the way of a span to the trace store."""
    (leg,) = (leg for leg in legs(config) if leg.name == "collector")
    assert leg.waiting
    collectors = SpanExporter(
        program="Collectors",
        accepted=leg.source.counter,
        sent=leg.target.counter,
        given_up=" or ".join(stage.counter for stage in leg.given_up),
        waiting=leg.waiting,
        span_metric=metrics.SPAN_CALLS,
    )
    stored = f"{metrics.STORED_SPAN_DURATION}_count"
    samplers = SpanExporter(
        program="samplers",
        # They keep the traces of checks, but not all others: only those that they keep are to be sent.
        accepted=stored,
        sent=KEPT.counter,
        given_up=series(metrics.SEND_FAILED_SPANS, _SAMPLER),
        waiting=series(metrics.SENDING_QUEUE_SIZE, _SAMPLER, OTLP_TRACES),
        span_metric=stored,
    )
    return (collectors, *((samplers,) if config.tail_sampling else ()))


class Watch:
    """Compares the counters of the senders with what they were when this object was created."""

    def __init__(self, prometheus: PrometheusClient, settings: Settings, *, seconds: float = _SECONDS) -> None:
        """Reads the counters.

        Args:
            prometheus: has them.
            settings: of the stack.
            seconds: how long each step of the way may take, without the time in which samplers decide.

        Raises:
            QueryError: Prometheus does not answer.
        """
        sampling = settings.collector.sampling
        self._prometheus = prometheus
        self._exporters = span_exporters(monitoring_config(settings))
        self._seconds = seconds + (2 * sampling.decision_wait_seconds if sampling else 0)
        self._calls = count_calls(prometheus) if settings.services.enabled else None
        self._own = {exporter.calls: self._own_calls(exporter) for exporter in self._exporters}
        self._previous = {query: self._by_pod(query) for exporter in self._exporters for query in _totals(exporter)}

    def wait(self) -> list[Acknowledgement]:
        """Waits until the Collectors have counted the spans that the check has caused, and each receiver has them.

        Raises:
            CheckFailure: names the exporter, and its numbers.
        """
        if self._calls is not None:
            self._wait("the span metrics to count a call of each hop", self._is_counted, CALLS_QUERY)
        return [self._acknowledgement(exporter) for exporter in self._exporters]

    def _acknowledgement(self, exporter: SpanExporter) -> Acknowledgement:
        program, query = exporter.program, _total(exporter.sent)
        look_at = f"{query} and the logs of the {program}"
        counted_at = self._wait(
            f"the {program} to count the spans of the check", lambda: self._counted_at(exporter), look_at
        )
        accepted = self._wait(
            f"Prometheus to scrape the {program} again", lambda: self._accepted_until(exporter, counted_at), look_at
        )
        sent = self._wait(
            f"the receiver of the {program} to acknowledge {accepted:.0f} spans",
            lambda: self._sent(exporter, accepted),
            look_at,
        )
        return Acknowledgement(program=program, accepted=round(accepted), sent=round(sent), query=query)

    def _wait(self, what: str, look: Callable[[], T | None], look_at: str) -> T:
        return poll_until(what, look, seconds=self._seconds, every=_PAUSE_SECONDS, look_at=look_at)

    def _is_counted(self) -> bool:
        assert self._calls is not None
        if missing := uncounted(count_calls(self._prometheus), self._calls):
            raise CheckFailure(f"no new call of {', '.join(map(str, missing))}")
        return True

    def _counted_at(self, exporter: SpanExporter) -> float | None:
        """Returns when Prometheus scraped the counters of the check's spans, in s since the epoch, by its own clock.

        None if they do not have them yet.
        """
        own = self._own_calls(exporter)
        if not own or own == self._own[exporter.calls]:
            return None
        return self._scraped_at(_newest(exporter.span_metric))

    def _scraped_at(self, query: str) -> float | None:
        return next((one.value for one in self._prometheus.query(query)), None)

    def _own_calls(self, exporter: SpanExporter) -> float:
        """Returns the accepted spans that smoke checks themselves sent."""
        result = self._prometheus.query(exporter.calls)
        return sum(one.value for one in result if one.labels.get(metrics.SERVICE) == SMOKE_CHECK.service)

    def _accepted_until(self, exporter: SpanExporter, counted_at: float) -> float | None:
        """Returns the spans that must be sent; None if a pod was not scraped since `counted_at`."""
        scraped_at = self._scraped_at(last_scrape(exporter.accepted))
        if scraped_at is None or scraped_at < counted_at:
            return None
        waited = sum(self._previous[_total(exporter.waiting)].values())
        return self._growth(exporter.accepted) + waited

    def _sent(self, exporter: SpanExporter, accepted: float) -> float | None:
        sent, given_up = self._growth(exporter.sent), self._growth(exporter.given_up)
        if sent >= accepted and not given_up:
            return sent
        waiting = sum(self._by_pod(_total(exporter.waiting)).values())
        raise CheckFailure(f"{sent:.0f} are acknowledged, {given_up:.0f} given up, {waiting:.0f} wait")

    def _growth(self, selector: str) -> float:
        """Returns the growth of the counters. What a pod counted before it restarted is unknown."""
        query = _total(selector)
        previous = self._previous[query]
        return sum(_growth(previous.get(pod, 0.0), value) for pod, value in self._by_pod(query).items())

    def _by_pod(self, query: str) -> _ByPod:
        return {
            (one.labels.get(JOB, ""), one.labels.get(INSTANCE, "")): one.value for one in self._prometheus.query(query)
        }


def queries(config: MonitoringConfig) -> Iterator[str]:
    """Yields all queries that a watch sends."""
    for exporter in span_exporters(config):
        yield from _totals(exporter)
        yield exporter.calls
        yield _newest(exporter.span_metric)
        yield last_scrape(exporter.accepted)


def _totals(exporter: SpanExporter) -> list[str]:
    return [_total(text) for text in (exporter.accepted, exporter.sent, exporter.given_up, exporter.waiting)]


def _newest(selector: str) -> str:
    return f"max(timestamp({selector}))"


def last_scrape(selector: str) -> str:
    """Returns a query for the time since which every pod has been scraped, in s since the epoch.

    If a pod and Prometheus are replaced at the same time, no Prometheus marks the pod's samples as stale, so they are
    found for 5 more minutes. Without the bound, the pod that has ended would count as one that was not scraped again.
    """
    return f"min(timestamp({selector}) > scalar({_newest(selector)}) - {_ENDED_SECONDS})"


def _total(selector: str) -> str:
    return f"sum by ({JOB}, {INSTANCE}) ({selector})"


def _growth(previous: float, now: float) -> float:
    return now - previous if now >= previous else now

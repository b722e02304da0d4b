"""Simulated metrics of normal traffic: waves, failing and slow web sites, single failures, restarts and deployments."""

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from contracts.services import SERVICES
from service.crawler.unreachable import UnreachableSites
from stack.settings import Settings
from tests.support.alert_cases.metrics import REQUESTS, healthy
from tests.support.promtool import STEP, Value

DAY: Final = 24 * 3600
HOUR: Final = 3600

_DEPLOYED_EVERY: Final = 3 * HOUR
_RESTARTED_EVERY: Final = 2 * HOUR + 1000
_SLOW: Final[Mapping[str, tuple[float, float]]] = {
    # Metric → share of slow events, and their duration in the unit of its buckets.
    "http_server_request_duration_seconds": (0.002, 2.0),
    "kafka_message_wait_seconds": (0.01, 15.0),
    "task_duration_seconds": (0.005, 40.0),
    "traces_span_metrics_duration_milliseconds": (0.01, 600.0),
}
_FAILING_PAGES: Final = (0.05, 0.10)
_LIST_EVERY: Final = 20 * 60 // STEP
_LIST_STEPS: Final = 5 * 60 // STEP
"""A user asks for dead sites only, for so long."""


def requests_per_second(seconds: float, length: float) -> float:
    """Return the rate of requests: from the night to the day and back, with shorter waves on top.

    A short simulation has the first half only: hardly any requests within minutes would be an outage.
    """
    period = length if length > 2 * HOUR else 2 * length
    day = (1 - math.cos(2 * math.pi * seconds / period)) / 2
    ripple = 1 + 0.3 * math.sin(2 * math.pi * seconds / 1100) + 0.1 * math.sin(2 * math.pi * seconds / 170)
    return (0.2 + 15 * day**2) * ripple


@dataclass
class _Course:
    """Counts that grow with the requests, a number for each step."""

    random: random.Random
    requests: list[int]

    def thinned(self, share: Callable[[int], float]) -> list[int]:
        """Return the cumulative count of the events that are a share of the requests."""
        return list(accumulate(self._draw(count * share(step)) for step, count in enumerate(self.requests)))

    def _draw(self, mean: float) -> int:
        return poisson(self.random, mean)


def poisson(generator: random.Random, mean: float) -> int:
    """Return a number of events whose mean number is `mean`."""
    if mean > 50:
        return max(0, round(generator.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), generator.random(), 0
    while product > limit:
        product *= generator.random()
        count += 1
    return count


def normal(settings: Settings, length: int, seed: int) -> dict[str, Value]:
    """Return all metrics of a stack under normal traffic.

    Args:
        settings: of the stack.
        length: of the simulation in s; see `requests_per_second`.
        seed: of the random numbers, so that each run is the same.
    """
    generator = random.Random(seed)
    steps = length // STEP + 1
    means = (requests_per_second(step * STEP, length) * STEP for step in range(steps))
    course = _Course(generator, [poisson(generator, mean) for mean in means])
    total = list(accumulate(course.requests))
    usual = healthy(settings)
    metrics = {name: _scaled(name, value, total) for name, value in usual.items()}
    for metric, (share, duration) in _SLOW.items():
        slow = course.thinned(lambda _, share=share: share)  # type: ignore[misc]
        metrics |= {
            name: _without_slow(metrics[name], slow)
            for name in metrics
            if name.startswith(f"{metric}_bucket") and _edge(name) < duration
        }
    metrics |= _failures(course, usual, metrics)
    metrics |= _unreachable(generator, course.requests, usual)
    for number, job in enumerate(SERVICES):
        _restart(metrics, job, length, offset=900 + 400 * number)
    return metrics


def _scaled(name: str, value: Value, total: list[int]) -> Value:
    """Return a counter that grows with the requests; other values stay as they are."""
    rate = ((value(1000) or 0) - (value(0) or 0)) / 1000
    if not rate or "uptime" in name or name.startswith(("process_start", "telemetry_probe")):
        return value
    return lambda seconds: float(int(total[int(seconds) // STEP] * rate / REQUESTS))


def _edge(name: str) -> float:
    match = re.search(r'le="([^"]*)"', name)
    assert match
    return float(match[1])


def _without_slow(value: Value, slow: list[int]) -> Value:
    return lambda seconds: max(0.0, (value(seconds) or 0.0) - slow[int(seconds) // STEP])


def _counts(counts: list[int]) -> Value:
    return lambda seconds: float(counts[int(seconds) // STEP])


def _failures(course: _Course, usual: Mapping[str, Value], metrics: Mapping[str, Value]) -> dict[str, Value]:
    """Return single failed requests and statements, and web pages of which 5 to 10 % fail."""
    low, high = _FAILING_PAGES
    pages = course.thinned(lambda step: low + (high - low) * (0.5 + 0.5 * math.sin(step / 40)))
    rare = course.thinned(lambda _: 0.0002)
    failed: dict[str, Value] = {}
    for name in usual:
        if "calls_total" in name:
            is_page = "web-crawler" in name and '"GET"' in name
            counts = pages if is_page else rare
            failed[name.replace("STATUS_CODE_UNSET", "STATUS_CODE_ERROR")] = _counts(counts)
            failed[name] = _without_slow(metrics[name], counts)
        elif name.startswith("http_server_requests_total"):
            failed[name.replace('"202"', '"503"')] = _counts(rare)
        elif name.startswith("crawler_pages_total") and '"error"' in name:
            failed[name] = _counts(pages)
    return failed


def _unreachable(generator: random.Random, requests: Sequence[int], usual: Mapping[str, Value]) -> dict[str, Value]:
    """Return the number of sites without an answer: one in ten, and now and then a whole list of one user."""
    sites, counts = UnreachableSites(), []
    for step, of_users in enumerate(requests):
        for number in range(of_users):
            if generator.random() < 0.1:
                sites.add_failure(f"user-{generator.randrange(20)}", f"site-{step}-{number}")
            else:
                sites.add_answer()
        if step % _LIST_EVERY < _LIST_STEPS:
            for number in range(3):
                sites.add_failure("user-of-a-list", f"listed-{step}-{number}")
        counts.append(sites.count)
    return {name: _counts(counts) for name in usual if name.startswith("crawler_unreachable_sites")}


def _restart(metrics: dict[str, Value], job: str, length: int, offset: int) -> None:
    """Let the pods of a service restart at some times, and be replaced by new ones at others."""
    restarts = {float(time - time % STEP) for time in range(offset, length, _RESTARTED_EVERY)}
    deployments = {float(time - time % STEP) for time in range(offset + 600, length, _DEPLOYED_EVERY)}
    begins = sorted({0.0} | restarts | deployments)
    for name in [name for name in metrics if f'job="{job}"' in name and f'instance="{job}-' in name]:
        value = metrics.pop(name)
        for begin, end in zip(begins, [*begins[1:], math.inf], strict=True):
            generation = sum(1 for deployment in deployments if deployment <= begin)
            renamed = re.sub(r'instance="([^"]*)"', rf'instance="\1-{generation}"', name)
            metrics[renamed] = _joined(metrics.get(renamed), _life(name, value, begin, end))


def _life(name: str, value: Value, begin: float, end: float) -> Value:
    """Return the value of one process; a counter begins at 0, and a new process begins while the old one ends."""
    if name.startswith("process_start"):
        return lambda seconds: begin if begin <= seconds < end else None
    is_counter = "_total{" in name or "_bucket{" in name or "_count{" in name or "_sum{" in name

    def sample(seconds: float) -> float | None:
        if not begin <= seconds < end:
            return None
        current = value(seconds)
        return None if current is None else current - (value(begin) or 0.0) * is_counter

    return sample


def _joined(earlier: Value | None, later: Value) -> Value:
    if earlier is None:
        return later
    return lambda seconds: later(seconds) if later(seconds) is not None else earlier(seconds)

"""The analysis of a stage, from Prometheus' answers to findings."""

import math
from collections.abc import Mapping, Sequence

from contracts import metrics, service_metrics
from dashboards.queries import MEMORY
from stack.clients.prometheus import Series
from stack.rollout.gate import Finding, Sample, Spans, Verdict
from stack.rollout.judge import judge
from stack.rollout.measurements import CANARY_SPANS, Measurements, collect
from stack.settings.rollout import Gate

GATEWAY = "gateway, requests"
BUCKETS: Mapping[float, int] = {0.01: 0, 0.1: 300, math.inf: 300}
USUAL = Sample(operations=300, failures=0, buckets=BUCKETS)


def findings(canary: Mapping[str, Sample], baseline: Mapping[str, Sample]) -> dict[str, Finding]:
    result = judge(
        Measurements(samples={"canary": canary}), Measurements(samples={"baseline": baseline}), Gate(), seconds=60
    )
    return {finding.check: finding for finding in result}


def test_each_operation_of_the_baseline_is_compared_with_the_query_that_repeats_it() -> None:
    result = findings({GATEWAY: USUAL}, {GATEWAY: USUAL})
    assert set(result) == {f"errors, {GATEWAY}", f"median, {GATEWAY}", f"p99, {GATEWAY}"}
    assert all(
        service_metrics.HTTP_REQUESTS in finding.query or "duration" in finding.query for finding in result.values()
    )
    assert result[f"median, {GATEWAY}"].verdict is Verdict.SUCCESSFUL


def test_without_traffic_at_the_gateway_nothing_can_be_decided() -> None:
    (finding,) = findings({}, {}).values()
    assert (finding.check, finding.verdict) == (f"errors, {GATEWAY}", Verdict.INCONCLUSIVE)


def test_a_consumer_of_the_canary_without_partitions_is_not_compared() -> None:
    consumer = "web-crawler, messages"
    assert not [check for check in findings({GATEWAY: USUAL}, {GATEWAY: USUAL, consumer: USUAL}) if consumer in check]
    both = {GATEWAY: USUAL, consumer: USUAL}
    assert f"errors, {consumer}" in findings(both, both)


def test_the_canary_of_a_gateway_that_gets_no_requests_is_inconclusive() -> None:
    assert findings({}, {GATEWAY: USUAL})[f"errors, {GATEWAY}"].verdict is Verdict.INCONCLUSIVE


def one(value: float, **labels: str) -> Series:
    return Series(labels=labels, points=((0.0, value),))


def test_measurements_are_collected_by_track_and_service() -> None:
    times = []

    def query(promql: str, time: float) -> Sequence[Series]:
        times.append(time)
        labels = {"job": "gateway", "track": "canary"}
        if promql == MEMORY:
            return [one(1e8, **labels), one(2e8, job="gateway", track="baseline")]
        if promql == CANARY_SPANS:
            return [one(10, __name__=metrics.SPANS_ENDED), one(8, __name__=metrics.SPANS_EXPORTED)]
        if service_metrics.HTTP_REQUESTS in promql:
            return [one(3.0 if "5.." in promql else 40.0, **labels)]
        if service_metrics.HTTP_DURATION in promql:
            return [one(30.0, le="0.1", **labels), one(math.nan, le="+Inf", **labels)]
        return []

    collected = collect(query, (100.0, 160.0))
    assert collected.samples == {"canary": {GATEWAY: Sample(operations=40, failures=3, buckets={0.1: 30, math.inf: 0})}}
    assert collected.memory == {"canary": {"gateway": 1e8}, "baseline": {"gateway": 2e8}}
    assert collected.spans == Spans(ended=10, exported=8)
    assert set(times) == {160.0}


def test_durations_count_only_after_the_warm_up() -> None:
    queries = []

    def query(promql: str, _: float) -> Sequence[Series]:
        queries.append(promql)
        return []

    collect(query, (100.0, 110.0))
    assert not [promql for promql in queries if service_metrics.HTTP_DURATION in promql]

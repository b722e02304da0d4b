"""The judgement of a rollout, from Prometheus' answers to findings."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from random import Random

import pytest

from checks.verdicts.draws import binomial
from contracts import metrics, service_metrics
from contracts.service_metrics import CRAWLED_PAGES
from dashboards.queries import MEMORY
from stack.clients.prometheus import Series
from stack.components.services.rollout import Gate
from stack.rollout.gate import Finding, Sample, Spans, Verdict, overall
from stack.rollout.judge import Judge
from stack.rollout.measurements import CANARY_SPANS, Measurements, collect

GATEWAY = "gateway, requests"
CONSUMER = "web-crawler, messages"
PAGES = "web-crawler, pages"
FAST, SLOW = (0.01, 0.06)


def sample(operations: int, failures: int = 0, slow: int = 0) -> Sample:
    """Operations of which some take 60 ms, and the others 10 ms."""
    buckets = {0.005: 0, FAST: operations - slow, 0.025: operations - slow, 0.1: operations, math.inf: operations}
    return Sample(operations=operations, failures=failures, buckets=buckets)


def look(judge: Judge, canary: Mapping[str, Sample], baseline: Mapping[str, Sample]) -> dict[str, Finding]:
    findings = judge.look(Measurements(samples={"canary": canary, "baseline": baseline}), seconds=60)
    return {finding.check: finding for finding in findings}


def looks(judge: Judge, canary: Sample, baseline: Sample, number: int = 20, key: str = GATEWAY) -> dict[str, Finding]:
    """Several looks at which the counts have grown by these samples."""
    judge.begin()
    findings: dict[str, Finding] = {}
    for count in range(1, number + 1):
        findings = look(judge, {key: grown(canary, count)}, {key: grown(baseline, count)})
    return findings


def grown(one: Sample, times: int) -> Sample:
    return Sample(
        operations=times * one.operations,
        failures=times * one.failures,
        buckets={edge: times * count for edge, count in one.buckets.items()},
    )


def verdict(findings: Mapping[str, Finding]) -> Verdict:
    return overall(findings.values())


def test_each_operation_is_compared_with_the_query_that_repeats_it() -> None:
    result = looks(Judge(Gate()), sample(100), sample(300))
    assert set(result) == {f"errors, {GATEWAY}", f"median, {GATEWAY}", f"p99, {GATEWAY}"}
    assert all(
        service_metrics.HTTP_REQUESTS in finding.query or "duration" in finding.query for finding in result.values()
    )
    assert verdict(result) is Verdict.SUCCESSFUL


def test_a_canary_that_fails_more_often_fails() -> None:
    result = looks(Judge(Gate()), sample(100, failures=5), sample(300, failures=3))
    assert result[f"errors, {GATEWAY}"].verdict is Verdict.FAILED


def test_fifty_milliseconds_more_fail_the_median() -> None:
    result = looks(Judge(Gate()), sample(50, slow=50), sample(150), number=5)
    assert result[f"median, {GATEWAY}"].verdict is Verdict.FAILED


def test_a_slow_tail_fails_with_the_same_median() -> None:
    result = looks(Judge(Gate()), sample(100, slow=8), sample(300), number=30)
    assert result[f"median, {GATEWAY}"].verdict is Verdict.SUCCESSFUL
    assert result[f"p99, {GATEWAY}"].verdict is Verdict.FAILED


def test_without_traffic_at_the_gateway_nothing_can_be_decided() -> None:
    (finding,) = look(Judge(Gate()), {}, {}).values()
    assert (finding.check, finding.verdict) == (f"errors, {GATEWAY}", Verdict.INCONCLUSIVE)
    assert finding.missing > 0


def test_a_consumer_of_the_canary_without_partitions_is_not_compared() -> None:
    assert f"errors, {CONSUMER}" not in looks(Judge(Gate()), sample(0), sample(300), key=CONSUMER)
    assert f"errors, {CONSUMER}" in looks(Judge(Gate()), sample(100), sample(300), key=CONSUMER)


def test_a_consumer_of_the_baseline_without_partitions_leaves_the_comparison_to_a_later_stage() -> None:
    judge = Judge(Gate())
    judge.begin(is_last=False)
    assert f"errors, {CONSUMER}" not in look(judge, {CONSUMER: sample(100)}, {})
    assert f"errors, {CONSUMER}" in look(judge, {CONSUMER: sample(200)}, {CONSUMER: sample(300)})
    judge.begin(is_last=True)
    finding = look(judge, {CONSUMER: sample(100)}, {})[f"errors, {CONSUMER}"]
    assert finding.verdict is Verdict.INCONCLUSIVE


def test_foreign_failures_are_a_check_of_their_own() -> None:
    result = looks(Judge(Gate()), sample(100, failures=12), sample(300, failures=30), key=PAGES)
    assert result[f"foreign failures, {PAGES}"].verdict is Verdict.SUCCESSFUL
    assert f"median, {PAGES}" not in result


def test_the_evidence_of_earlier_stages_counts_and_is_kept_for_a_later_run() -> None:
    judge = Judge(Gate())
    looks(judge, sample(100), sample(300))
    later = Judge(Gate())
    later.load(json.loads(json.dumps(judge.dump())))
    for it in (judge, later):
        it.begin()
        result = look(it, {GATEWAY: sample(5)}, {GATEWAY: sample(15)})
        assert result[f"errors, {GATEWAY}"].verdict is Verdict.SUCCESSFUL
    judge.forget()
    judge.begin()
    assert verdict(look(judge, {GATEWAY: sample(5)}, {GATEWAY: sample(15)})) is Verdict.INCONCLUSIVE


def test_counts_of_different_scrapes_are_used_at_the_next_look() -> None:
    judge = Judge(Gate())
    judge.begin()
    counts = [(100, 0), (100, 3), (200, 3)]  # at the second look, only the query of the failures has the new scrape
    for operations, failures in counts:
        result = look(judge, {GATEWAY: sample(operations, failures)}, {GATEWAY: sample(300)})
    assert result[f"errors, {GATEWAY}"].canary == "3 of 200 (1.50%)"


def test_pods_that_end_take_their_counts_along() -> None:
    judge = Judge(Gate())
    judge.begin()
    for operations in (100, 40, 60):
        result = look(judge, {GATEWAY: sample(operations)}, {GATEWAY: sample(300)})
    assert result[f"errors, {GATEWAY}"].canary.startswith("0 of 120")


def test_a_good_version_seldom_fails_and_a_bad_one_seldom_passes() -> None:
    """60 rollouts of each kind, with a look every 5 s at 20 requests/s to both versions."""

    def end(rng: Random, share: float, usual: float) -> Verdict:
        judge, counts = Judge(Gate()), [0, 0]
        judge.begin()
        for number in itertools.count(1):
            counts = [count + binomial(rng, 100, it) for count, it in zip(counts, (share, usual), strict=True)]
            new, old = (sample(100 * number, count) for count in counts)
            result = verdict(look(judge, {GATEWAY: new}, {GATEWAY: old}))
            if result is not Verdict.INCONCLUSIVE:
                return result
        raise AssertionError

    rng = Random(1)
    assert [end(rng, 0.03, 0.03) for _ in range(60)].count(Verdict.FAILED) == 0
    assert [end(rng, 0.06, 0.03) for _ in range(60)].count(Verdict.FAILED) >= 57


def one(value: float, **labels: str) -> Series:
    return Series(labels=labels, points=((0.0, value),))


def test_measurements_are_collected_by_track_and_service() -> None:
    times = []

    def query(promql: str, time: float) -> Sequence[Series]:
        times.append(time)
        labels = {"job": "gateway", "track": "canary"}
        if promql == MEMORY:
            others = {"baseline": 2e8, "stable": 3e8}
            return [one(1e8, **labels), *(one(size, job="gateway", track=track) for track, size in others.items())]
        if promql == CANARY_SPANS:
            return [one(10, __name__=metrics.SPANS_ENDED), one(8, __name__=metrics.SPANS_EXPORTED)]
        if service_metrics.HTTP_REQUESTS in promql:
            return [one(3.0 if "5.." in promql else 40.0, **labels)]
        if CRAWLED_PAGES in promql and "kafka" not in promql:
            return [one(4.0 if '"error"' in promql else 9.0, job="web-crawler", track="canary")]
        if service_metrics.HTTP_DURATION in promql:
            return [one(30.0, le="0.1", **labels), one(math.nan, le="+Inf", **labels)]
        return []

    collected = collect(query, (100.0, 160.0), "baseline")
    assert collected.samples == {
        "canary": {
            GATEWAY: Sample(operations=40, failures=3, buckets={0.1: 30, math.inf: 0}),
            PAGES: Sample(operations=9, failures=4),
        },
        "baseline": {},
    }
    assert collected.memory == {"canary": {"gateway": 1e8}, "baseline": {"gateway": 2e8}}
    assert collected.spans == Spans(ended=10, exported=8)
    assert set(times) == {160.0}
    assert collect(query, (100.0, 160.0), "stable").memory["baseline"] == {"gateway": 3e8}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_no_measurement(value: float) -> None:
    def query(promql: str, _: float) -> Sequence[Series]:
        labels = {"track": "canary", "le": "+Inf", "__name__": metrics.SPANS_ENDED}
        return [one(value, job="gateway", **labels)]

    collected = collect(query, (100.0, 160.0), "baseline")
    assert collected.samples["canary"][GATEWAY].operations == 0
    assert collected.memory["canary"] == {}
    assert collected.spans == Spans()


def test_a_canary_with_other_edges_of_durations_is_compared_at_the_next_one() -> None:
    buckets = {0.01: 0, 0.1: 0, math.inf: 100}  # the baseline's limit is 25 ms, an edge that these do not have
    slow = Sample(operations=100, buckets=buckets)
    assert looks(Judge(Gate()), slow, sample(300))[f"median, {GATEWAY}"].verdict is Verdict.FAILED


def test_a_consumer_without_any_measurement_is_not_successful() -> None:
    judge = Judge(Gate(), services=("web-crawler",))
    judge.begin()
    findings = judge.measure(lambda *_: [], (100.0, 160.0), "stable", is_traced=False)
    assert overall(findings) is Verdict.INCONCLUSIVE


def test_durations_count_only_after_the_warm_up() -> None:
    queries = []

    def query(promql: str, _: float) -> Sequence[Series]:
        queries.append(promql)
        return []

    collect(query, (100.0, 110.0), "baseline")
    assert not [promql for promql in queries if service_metrics.HTTP_DURATION in promql]

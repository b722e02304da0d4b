"""What a PromQL query names and nothing emits is a problem; what something emits is none."""

import pytest

from checks.contract.promql import Query

SERIES = {
    "requests_total": frozenset({"job", "route", "status"}),
    "duration_seconds_bucket": frozenset({"job", "route", "le"}),
    "up": frozenset({"job", "instance"}),
}
VALUES = {"job": frozenset({"gateway", "crawler"})}


def read(text: str) -> Query:
    return Query(text, SERIES.get, lambda _, label: VALUES.get(label, frozenset()), lambda: iter(SERIES))


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("requests_total", {"job", "route", "status"}),
        ("sum(rate(requests_total[5m]))", set()),
        ("sum by (job) (rate(requests_total[5m]))", {"job"}),
        ("sum without (route) (requests_total)", {"job", "status"}),
        ("topk(3, requests_total)", {"job", "route", "status"}),
        ("histogram_quantile(0.95, sum by (le, route) (rate(duration_seconds_bucket[5m])))", {"route"}),
        ('label_replace(up, "host", "$1", "instance", "(.*):.*")', {"job", "instance", "host"}),
        ('label_replace(up, "kind", "constant", "", "")', {"job", "instance", "kind"}),
        ("sum by (job) (requests_total) / on (job) count by (job) (up)", {"job"}),
        ("requests_total unless on (job) up", {"job", "route", "status"}),
        ("requests_total * on (job) group_left (instance) up", {"job", "route", "status", "instance"}),
        ("sum by (job) (requests_total) or vector(0)", {"job"}),
        ("100 * sum by (job) (requests_total)", {"job"}),
        ('{__name__=~"requests_.*|up"}', {"job", "route", "status", "instance"}),
        ('sum by (__name__) ({__name__=~"up|requests_total"})', {"__name__"}),
        ("max_over_time(sum by (route) (requests_total)[1h:5m])", {"route"}),
        ('sum by (job) (up{job="gateway"})', {"job"}),
        ('sum by (job) (up{job=~"gate.*|crawler", instance="any"})', {"job"}),
        ('sum by (job) (up{job!=""})', {"job"}),
    ],
)
def test_a_query_of_what_is_emitted_has_no_problem_and_the_labels_of_its_result(text: str, labels: set[str]) -> None:
    query = read(text)
    assert query.problems == []
    assert query.labels == labels


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("request_total", "nothing emits request_total"),
        ("rate(requests_count[5m])", "nothing emits requests_count"),
        ('{__name__=~"responses_.*"}', "nothing emits responses_.*"),
        ('requests_total{rout="/x"}', "requests_total has no label 'rout'"),
        ("sum by (code) (requests_total)", "what is aggregated has no label 'code'"),
        ("sum by (instance) (requests_total unless on (job) up)", "what is aggregated has no label 'instance'"),
        ("sum by (job) (sum by (route) (requests_total))", "what is aggregated has no label 'job'"),
        ("requests_total / on (instance) up", "both sides have no label 'instance'"),
        ('label_replace(up, "a", "$1", "host", "(.*)")', "label_replace reads no label 'host'"),
        ("up and request_total", "nothing emits request_total"),
        ('up{job="gatewy"}', "job of up is never 'gatewy'"),
        ('up{job!="gatewy"}', "job of up is never 'gatewy'"),
        ('up{job=~"gateway|crawl"}', "job of up is never 'crawl'"),
        ('up{job!~"gate(x|y)"}', "job of up is never 'gate(x|y)'"),
    ],
)
def test_a_query_of_what_nothing_emits_has_a_problem(text: str, problem: str) -> None:
    assert problem in read(text).problems


def test_what_is_no_promql_is_refused() -> None:
    with pytest.raises(ValueError, match="unclosed"):
        read("sum by (job")


def test_a_query_of_all_series_uses_none_in_particular() -> None:
    query = read('count by (job, __name__) ({__name__=~".+"})')
    assert (query.problems, query.series) == ([], set())
    assert read('{__name__=~"requests_.*"}').series == {"requests_total"}

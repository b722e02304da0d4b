"""The report says for each place what was deleted and what remains until when."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import endpoints
from stack.forget.report import Line, lines

ANSWER: dict[str, Any] = {
    "hash": "6f1c0a",
    "tasks_deleted": 12,
    "tasks_not_ended": 0,
    "partitions_deleted": {"task-status": 3, "requests-web-crawl": 2},
    "retention_hours": {"task-status": 24.0, "task-status.dead-letter": 168.0, "requests-web-crawl": 24.0},
}
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _report(
    answer: dict[str, Any] = ANSWER, *, traces: int | None = 4, unqueried: Collection[str] = ()
) -> dict[str, Line]:
    report = lines(answer, traces=traces, at_least=False, retention=timedelta(hours=48), now=NOW, unqueried=unqueried)
    return {line.place: line for line in report}


def test_what_remains_has_a_time_and_the_rest_has_none() -> None:
    report = _report()
    assert report["tasks and their pages (Postgres)"].deleted == "12 tasks"
    assert report["Kafka, task-status"].until == ""
    assert report["Kafka, task-status.dead-letter"].until == "2026-01-09 00:00 UTC"
    assert report["traces"].until == report["logs"].until == "2026-01-04 00:00 UTC"
    assert "4 with the keyed hash 6f1c0a" in report["traces"].remains


def test_tasks_that_have_not_ended_are_named_and_so_are_their_messages() -> None:
    report = _report(ANSWER | {"tasks_not_ended": 2})
    assert report["tasks and their pages (Postgres)"].until == "you run this again"
    assert report["Kafka, task-status"].until == "2026-01-03 00:00 UTC"


def test_a_topic_without_retention_is_kept_for_ever() -> None:
    report = _report(ANSWER | {"retention_hours": {"task-status.dead-letter": None}}, traces=None)
    assert report["Kafka, task-status.dead-letter"].until == "for ever"
    assert report["traces"].remains.startswith("unknown")


def test_a_store_that_only_receives_must_be_asked_by_the_user() -> None:
    report = _report(traces=None, unqueried={endpoints.TRACES_UID})
    assert (
        report["traces"].remains == "unknown: ask your store, which cannot be queried here, for the keyed hash 6f1c0a"
    )
    assert report["traces"].until == "the end of its retention"
    assert report["logs"].until == "2026-01-04 00:00 UTC"

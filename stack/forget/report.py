"""What was deleted about a person, and what remains until when."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from contracts import endpoints


@dataclass(frozen=True, kw_only=True)
class Line:
    """A part of the stack, and what it holds about the person now."""

    place: str
    deleted: str
    remains: str
    until: str


def lines(
    answer: Mapping[str, Any],
    *,
    traces: int | None,
    at_least: bool,
    retention: timedelta,
    now: datetime,
    unqueried: Collection[str] = (),
) -> Iterator[Line]:
    """Yields a line for each place.

    Args:
        answer: of the deletion in the pod.
        traces: stored traces with the keyed hash; None if the store did not answer.
        at_least: whether there may be more than `traces`.
        retention: of traces and logs.
        now: the time of the deletion.
        unqueried: uids of the datasources of stores that only receive.
    """
    unended = answer["tasks_not_ended"]
    yield Line(
        place="tasks and their pages (Postgres)",
        deleted=f"{answer['tasks_deleted']} tasks",
        remains=f"{unended} tasks that have not ended" if unended else "nothing, apart from backups of yours",
        until="you run this again" if unended else "",
    )
    for topic, hours in answer["retention_hours"].items():
        partitions = answer["partitions_deleted"].get(topic)
        until = "for ever" if hours is None else _text(now + timedelta(hours=hours))
        if partitions is None:
            yield Line(place=f"Kafka, {topic}", deleted="", remains="dead letters of the person, if any", until=until)
        else:
            yield Line(
                place=f"Kafka, {topic}",
                deleted=f"all handled messages of {partitions} partitions",
                remains="messages that are not handled yet" if unended else "nothing",
                until=until if unended else "",
            )
    count = "unknown: the store does not answer" if traces is None else f"{'at least ' if at_least else ''}{traces}"
    held = {
        ("traces", endpoints.TRACES_UID): f"{count} with the keyed hash {answer['hash']}, none with the address",
        ("logs", endpoints.LOGS_UID): f"lines with the keyed hash {answer['hash']}, none with the address",
    }
    for (place, uid), remains in held.items():
        if uid in unqueried:
            yield Line(place=place, deleted="", remains=_to_ask(answer["hash"]), until="the end of its retention")
        else:
            yield Line(place=place, deleted="", remains=remains, until=_text(now + retention))
    yield Line(place="metrics, alerts", deleted="", remains="nothing: no label has personal data", until="")


def _to_ask(user_hash: str) -> str:
    return f"unknown: ask your store, which cannot be queried here, for the keyed hash {user_hash}"


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"

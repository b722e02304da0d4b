"""Answers in numbers and in words are compared with a fault."""

import pytest

from checks.drill.answer import compare, parse
from checks.faults.catalogue import faults
from checks.faults.model import CAUSES, HOPS

FAULTS = faults("jaeger")


@pytest.mark.parametrize(
    ("text", "hop", "cause"),
    [
        ("5, 1", "kafka", "stopped"),
        ("5 1", "kafka", "stopped"),
        ("kafka is down", "kafka", "stopped"),
        ("the database, too many clients", "postgres", "connections"),
        ("task-manager to postgres; wrong password", "task-manager-postgres", "wrong-secret"),
        ("the crawler was OOMKilled", "web-crawler", "out-of-memory"),
        ("crawler -> web pages: DNS", "crawler-pages", "dns"),
        ("gateway -> task-manager, connections reset", "gateway-task-manager", "resets"),
        ("Postgres: table locked", "postgres", "lock"),
        ("collector to jaeger, no packet arrives", "collector-store", "cut-off"),
        ("web-crawler, trace context is not passed on", "web-crawler", "lost-context"),
        ("kafka, scaled to zero", "kafka", "stopped"),
        ("the database has 0 replicas", "postgres", "stopped"),
        ("crawler cannot resolve names", "web-crawler", "dns"),
        ("postgres, connection slots exhausted", "postgres", "connections"),
        ("collector -> jaeger, network blocked", "collector-store", "cut-off"),
        ("front door, connect timeout", "callers-gateway", "cut-off"),
        ("web-crawler, misconfiguration", "web-crawler", "bad-setting"),
    ],
)
def test_an_answer_in_words(text: str, hop: str, cause: str) -> None:
    answer = parse(text)
    assert not answer.problem
    assert answer.hop
    assert answer.hop.name == hop
    assert answer.cause
    assert answer.cause.name == cause


@pytest.mark.parametrize("text", ["", "no idea", "99, 1", "kafka and loki, stopped", "kafka"])
def test_an_answer_that_is_not_clear(text: str) -> None:
    assert parse(text).problem


@pytest.mark.parametrize("name", FAULTS)
def test_titles_and_numbers_of_the_right_answer_are_understood(name: str) -> None:
    fault = FAULTS[name]
    for hop in fault.hops:
        for cause in fault.causes:
            titles = [next(item for item in items if item.name == key) for items, key in ((HOPS, hop), (CAUSES, cause))]
            numbers = f"{HOPS.index(titles[0]) + 1}, {CAUSES.index(titles[1]) + 1}"
            for text in (f"{hop}, {cause}", f"{titles[0].title}; {titles[1].title.replace(':', '')}", numbers):
                assert compare(parse(text), fault).is_right, text


def test_a_wrong_part_is_known() -> None:
    verdict = compare(parse("kafka, dns"), FAULTS["kafka-down"])
    assert verdict.hop
    assert not verdict.cause
    assert not verdict.is_right


@pytest.mark.parametrize("text", ["²", "²,³", "9" * 5000, "1," + "9" * 5000])
def test_digits_that_number_no_choice_name_none(text: str) -> None:
    assert parse(text).cause is None

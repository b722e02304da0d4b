"""Hostile inputs, invented names and oversized requests do no harm: a small part of `make security`."""

from collections.abc import Iterator

import pytest

from checks.harness.collector import MissingProgram
from checks.security.cardinality import invented_names, invented_spans
from checks.security.clients import oversized_clients
from checks.security.fuzz import fuzz_services
from checks.security.fuzz_collector import fuzz_collector
from checks.security.issuer import Issuer, running_issuer
from checks.security.outcome import Outcome
from checks.security.reported import planted_reports
from checks.security.services import Services, running_services
from tests.support.programs import skipping


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def services(issuer: Issuer) -> Iterator[Services]:
    with running_services(issuer) as services:
        yield services


def _assert_harmless(*outcomes: Outcome) -> None:
    for outcome in outcomes:
        assert outcome.is_harmless, (outcome.attack, outcome.count, outcome.successes[:3])


def test_no_hostile_input_breaks_a_service(services: Services) -> None:
    outcomes = fuzz_services(services, 1_000, seed=1)
    assert [outcome.count >= 100 for outcome in outcomes] == [True] * 5
    _assert_harmless(*outcomes)


def test_no_hostile_request_breaks_the_collector() -> None:
    with skipping("otelcol-contrib", MissingProgram):
        _assert_harmless(fuzz_collector(600, seed=1))


def test_invented_names_make_no_series(services: Services, issuer: Issuer) -> None:
    _assert_harmless(invented_names(services, issuer, 100, seed=1))


def test_invented_names_of_spans_make_a_limited_number_of_series() -> None:
    with skipping("otelcol-contrib", MissingProgram):
        _assert_harmless(invented_spans(2_000, seed=1))


def test_oversized_requests_are_refused(services: Services) -> None:
    _assert_harmless(oversized_clients(services, 12, seed=1))


def test_no_secret_is_in_notifications_and_reports() -> None:
    with skipping("otelcol-contrib or alertmanager", MissingProgram):
        _assert_harmless(planted_reports(1_000, seed=1))

"""Access to the gateway, with real processes and a real identity provider: who gets in, and what each one reads."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from schemathesis.checks import CHECKS, load_all_checks

from checks.security.access import (
    BODY,
    bearer,
    direct_requests,
    foreign_tasks,
    forged_tokens,
    guessed_keys,
    leaked_credentials,
    submit,
)
from checks.security.issuer import Issuer, SigningKey, running_issuer
from checks.security.outcome import Outcome
from checks.security.planted import planted_secrets
from checks.security.services import KEYS, STACK_KEY, Services, running_services
from checks.security.tokens import ATTACKS
from contracts.access import Role
from stack.polling import poll_until
from tests.support.profiles import examples

TASKS = "/api/tasks"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def services(issuer: Issuer) -> Iterator[Services]:
    with running_services(issuer) as services:
        yield services


@pytest.fixture
def gateway(services: Services) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=services.gateway) as client:
        yield client


def _assert_harmless(*outcomes: Outcome) -> None:
    assert outcomes
    for outcome in outcomes:
        assert outcome.is_harmless, (outcome.attack, outcome.count, outcome.successes[:3])


def test_no_forged_token_gets_in(services: Services, issuer: Issuer) -> None:
    outcomes = forged_tokens(services, issuer, 50 * len(ATTACKS), seed=1)
    assert len(outcomes) == len(ATTACKS)
    _assert_harmless(*outcomes)


@pytest.mark.nightly
def test_none_of_ten_thousand_forged_tokens_gets_in(services: Services, issuer: Issuer) -> None:
    _assert_harmless(*forged_tokens(services, issuer, 10_000, seed=2))


def test_no_text_that_is_no_key_gets_in(services: Services) -> None:
    _assert_harmless(guessed_keys(services, 500, seed=1))


def test_a_caller_reads_its_own_tasks_alone(services: Services, issuer: Issuer) -> None:
    _assert_harmless(foreign_tasks(services, issuer, 60, seed=1))


def test_the_task_manager_answers_the_gateway_alone(services: Services) -> None:
    _assert_harmless(direct_requests(services, 40, seed=1))


def test_no_credential_is_exported_or_logged(services: Services, issuer: Issuer) -> None:
    _assert_harmless(leaked_credentials(services, issuer))


def test_no_planted_secret_leaves_the_services(services: Services) -> None:
    _assert_harmless(planted_secrets(services, 1_000, seed=1))


def test_a_refusal_is_a_traced_client_error_with_its_reason(
    services: Services, gateway: httpx.Client, issuer: Issuer
) -> None:
    answer = gateway.post(TASKS, json=BODY, headers=bearer(issuer.token(exp=1)))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    trace_id = bytes.fromhex(answer.headers["traceparent"].split("-")[1])

    def spans() -> list[Span]:
        # If this is the first token, the trace also has the request for the issuer's keys.
        own = [span for span in services.receiver.spans() if span.trace_id == trace_id]
        return [span for span in own if span.kind == Span.SPAN_KIND_SERVER]

    (span,) = poll_until("the span", spans)
    assert span.name == "POST /api/tasks"
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert {item.key: item.value.string_value for item in span.attributes}["task.access.refusal"] == "expired"
    metrics = gateway.get("/api/metrics").text
    assert 'access_refusals_total{reason="expired"}' in metrics
    assert 'http_server_requests_total{method="POST",route="/api/tasks",status="401",synthetic=""}' in metrics


def test_a_body_is_not_read_before_the_caller_is_known(gateway: httpx.Client) -> None:
    assert gateway.post(TASKS, content=b"{").status_code == 401
    assert gateway.post(TASKS, content=b"x" * 70_000).status_code == 401
    assert gateway.post(TASKS, json={**BODY, "user_query": "x" * 70_000}, headers=bearer(STACK_KEY)).status_code == 413


def test_the_same_request_of_two_callers_makes_two_tasks(gateway: httpx.Client, issuer: Issuer) -> None:
    callers = (STACK_KEY, KEYS[Role.USER], issuer.token(sub="ada"), issuer.token(sub="bob"))
    ids = [
        gateway.post(TASKS, json=BODY, headers={**bearer(caller), "Idempotency-Key": "k"}).json()["id"]
        for caller in (*callers, *callers)
    ]
    assert len(set(ids)) == len(callers)
    assert ids[:4] == ids[4:]


def test_pages_of_a_list_have_the_tasks_of_their_caller_alone(gateway: httpx.Client, issuer: Issuer) -> None:
    own = {submit(gateway, issuer.token(sub="lists"), user_query=str(number)) for number in range(5)}
    submit(gateway, STACK_KEY)
    listed: list[str] = []
    link: str | None = f"{TASKS}?limit=2"
    while link:
        page = gateway.get(link, headers=bearer(issuer.token(sub="lists"))).json()
        listed += [item["id"] for item in page["items"]]
        link = page["next"]
    assert sorted(listed) == sorted(own)


def test_no_request_breaks_what_the_document_promises(services: Services) -> None:
    load_all_checks()
    checks: list[Any] = CHECKS.get_by_names(
        ["not_a_server_error", "status_code_conformance", "response_schema_conformance", "ignored_auth"]
    )
    schema = schemathesis.openapi.from_url(f"{services.gateway}/openapi.json")
    requests = 0
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]  # a document that is wrong fails here
        if not operation.path.startswith(TASKS):
            continue

        @settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, max_examples=examples(0.1))
        @given(case=operation.as_strategy())
        def send_request(case: schemathesis.Case[Any]) -> None:
            nonlocal requests
            requests += 1
            case.call_and_validate(checks=checks, headers=bearer(KEYS[Role.USER]))

        send_request()
    assert requests > examples(0.1)


def test_health_metrics_and_the_demo_page_need_no_credential(gateway: httpx.Client) -> None:
    for path in ("/api/health/live", "/api/health/ready", "/api/metrics", "/demo"):
        assert gateway.get(path).is_success, path


def test_a_new_key_of_the_issuer_counts_at_once_and_a_withdrawn_one_soon(gateway: httpx.Client, issuer: Issuer) -> None:
    new = SigningKey.make("new")
    previous = list(issuer.keys)
    issuer.keys.append(new)
    try:
        poll_until(
            "the new key",  # the gateway pauses 10 s between two fetches, and an earlier test may have made one
            lambda: gateway.get(TASKS, headers=bearer(issuer.token(key=new))).is_success,
            seconds=15,
        )
    finally:
        issuer.keys[:] = previous


def test_invented_key_ids_make_few_requests_to_the_issuer(gateway: httpx.Client, issuer: Issuer) -> None:
    requests = issuer.requests
    started = time.monotonic()
    for number in range(50):
        token = issuer.token(headers={"kid": f"invented-{number}"})
        assert gateway.get(TASKS, headers=bearer(token)).status_code == 401
    assert issuer.requests - requests <= 1 + (time.monotonic() - started) / 10


def test_without_the_issuer_a_gateway_answers_503_to_tokens_and_serves_keys(issuer: Issuer) -> None:
    issuer.is_available = False
    try:
        with running_services(issuer) as services, httpx.Client(base_url=services.gateway) as client:
            answer = client.get(TASKS, headers=bearer(issuer.token()))
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert client.get(TASKS, headers=bearer(STACK_KEY)).is_success
            assert client.get("/api/health/ready").is_success
    finally:
        issuer.is_available = True


def test_limits_of_rate_and_concurrency_hold_for_each_caller(issuer: Issuer) -> None:
    with running_services(issuer, limits=(12, 5, 2)) as services:
        with httpx.Client(base_url=services.gateway) as client:
            started = time.monotonic()
            answers = [client.get(TASKS, headers=bearer(STACK_KEY)) for _ in range(20)]
            statuses = Counter(answer.status_code for answer in answers)
            assert 5 <= statuses[200] <= 6 + (time.monotonic() - started) / 5  # the bucket, and one more each 5 s
            assert statuses[200] + statuses[429] == 20
            assert all(1 <= int(answer.headers["retry-after"]) <= 5 for answer in answers if answer.status_code == 429)
            assert client.get(TASKS, headers=bearer(KEYS[Role.USER])).is_success
            time.sleep(5.1)
            assert client.get(TASKS, headers=bearer(STACK_KEY)).is_success
            assert 'access_refusals_total{reason="rate"}' in client.get("/api/metrics").text
        # The server may close the connection before the whole body is written.
        statuses = _statuses_of_slow_bodies(services, 4)
        assert statuses[408] <= 2
        assert statuses[429] + statuses[0] >= 2


def _statuses_of_slow_bodies(services: Services, count: int) -> Counter[int]:
    """The answers to requests at the same time whose bodies never end."""

    def drip() -> Iterator[bytes]:
        yield b"{"
        for _ in range(24):
            time.sleep(0.5)
            yield b" "

    statuses: Counter[int] = Counter()

    def send() -> None:
        headers = {**bearer(KEYS[Role.OPERATOR]), "Content-Type": "application/json"}
        with contextlib.suppress(httpx.WriteError, httpx.RemoteProtocolError):
            statuses[
                httpx.post(f"{services.gateway}{TASKS}", content=drip(), headers=headers, timeout=30).status_code
            ] += 1
            return
        statuses[0] += 1

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses

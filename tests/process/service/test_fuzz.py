"""Random requests and messages: no crash, no status 500, and each message is handled or dead-lettered."""

import json
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
import schemathesis
from confluent_kafka import Producer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis.checks import CHECKS, load_all_checks

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from contracts.topics import STATUS_TOPIC
from lean_tracing.testing import Recorder
from service.common import messages
from service.common.messages import CrawlRequest, TaskRequest
from service.gateway import bootstrap as gateway
from service.gateway.config import GatewaySettings
from service.task_manager import bootstrap as task_manager
from service.task_manager.config import TaskManagerSettings
from stack.polling import poll_until
from tests.support.brokers import mock_brokers
from tests.support.profiles import examples
from tests.support.serving import served

_UNTIMED = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
TASK = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")


@pytest.fixture(scope="module")
def urls(
    make_recorder: Callable[[str], Recorder], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    with mock_brokers() as brokers:
        common: dict[str, Any] = {"host": "127.0.0.1", "kafka_bootstrap_servers": brokers.addresses}
        manager = TaskManagerSettings(
            port=free_port(),
            database_url=SecretStr(f"sqlite:///{tmp_path_factory.mktemp('database') / 'tasks.db'}"),
            **common,
        )
        front = GatewaySettings(port=free_port(), task_manager_url=f"http://127.0.0.1:{manager.port}", **common)
        with (
            served(task_manager.build(manager, make_recorder("task-manager").tracing), manager) as manager_url,
            served(gateway.build(front, make_recorder("gateway").tracing), front) as gateway_url,
        ):
            for url in (gateway_url, manager_url):
                poll_until("readiness", partial(_succeeds, f"{url}/api/health/ready"))
            yield {"gateway": gateway_url, "task-manager": manager_url, "brokers": brokers.addresses}


def _succeeds(url: str) -> bool:
    return CLIENT.get(url).is_success


@pytest.mark.parametrize("service", ["gateway", "task-manager"])
def test_no_request_breaks_what_the_document_promises(service: str, urls: dict[str, str]) -> None:
    load_all_checks()
    checks: list[Any] = CHECKS.get_by_names(
        ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    )
    schema = schemathesis.openapi.from_url(f"{urls[service]}/openapi.json")
    operations = requests = 0
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]  # a document that is wrong fails here
        if operation.path.startswith("/api/health"):
            continue
        operations += 1

        @settings(_UNTIMED, max_examples=examples(0.2))
        @given(case=operation.as_strategy())
        def send_request(case: schemathesis.Case[Any]) -> None:
            nonlocal requests
            requests += 1
            case.call_and_validate(checks=checks)

        send_request()
    assert requests > operations * examples(0.2) / 2


_HEADER_NAMES = st.sampled_from(["status", "id", "STATUS", "timestamp", "traceparent", "tracestate", "baggage", "x"])
_HEADER_VALUES = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.sampled_from([b"new", b"completed", b"error", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"0" * 32]),
    st.uuids().map(lambda value: str(value).encode()),
)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


def _body(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode("utf-8", "surrogatepass")


_BODIES = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.fixed_dictionaries(
        {},
        optional={
            "user_email": st.one_of(st.just("ada@example.com"), _JSON),
            "user_query": st.one_of(st.just("?"), st.text(max_size=50)),
            "base_url": st.one_of(st.just("http://site.example/"), st.text(max_size=50)),
            "crawl_result": _JSON,
            "error": st.one_of(st.text(max_size=50), _JSON),
        },
    ).map(_body),
)


def test_no_message_stops_consumption_or_is_lost(urls: dict[str, str]) -> None:
    producer = Producer({"bootstrap.servers": urls["brokers"], "log_level": 0})
    sent = 0

    @settings(_UNTIMED, max_examples=examples(2))
    @given(
        key=st.one_of(st.none(), st.binary(max_size=20)),
        headers=st.lists(st.tuples(_HEADER_NAMES, _HEADER_VALUES), max_size=6),
        value=_BODIES,
    )
    def send(key: bytes | None, headers: list[tuple[str, bytes | None]], value: bytes | None) -> None:
        nonlocal sent
        producer.produce(STATUS_TOPIC, value, key=key, headers=[*headers])
        sent += 1

    with httpx.Client(base_url=urls["task-manager"]) as client:
        consumed_before = sum(_consumed(client).values())
        send()
        # Then valid messages, at least one for each partition.
        good = [uuid.uuid4() for _ in range(12)]
        for task_id in good:
            for message in (
                messages.new(task_id, TASK),
                messages.completed(CrawlRequest(id=task_id, task=TASK), {"title": "page"}),
            ):
                producer.produce(message.topic, message.value, key=message.key, headers=list(message.headers))
        assert producer.flush(60) == 0
        expected = consumed_before + sent + 2 * len(good)
        poll_until("every message", lambda: sum(_consumed(client).values()) >= expected)
        assert sum(_consumed(client).values()) == expected
        for task_id in good:
            assert client.get(f"/api/tasks/{task_id}").json()["status"] == "completed"
        assert client.get("/api/health/live").is_success
        # All stored tasks can be listed.
        link: str | None = "/api/tasks?limit=100"
        while link:
            page = client.get(link)
            assert page.is_success, page.text
            link = page.json()["next"]


def _consumed(client: httpx.Client) -> dict[str, float]:
    """Messages by outcome."""
    lines = client.get("/api/metrics").text.splitlines()
    start = 'kafka_messages_consumed_total{outcome="'
    return {
        line.removeprefix(start).partition('"')[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(start) and f'topic="{STATUS_TOPIC}"' in line and "retried" not in line
    }

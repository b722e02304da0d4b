"""The examples run as their users run them, and the guide shows their code."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from checks.harness.receiver import Receiver, receiving
from checks.harness.server import ServerProcess, answers
from stack.polling import poll_until
from tests.support.brokers import Brokers, mock_brokers

_ROOT = Path(__file__).parents[3]
Run = Callable[..., str]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    with mock_brokers() as brokers:
        yield brokers


@pytest.fixture
def run(receiver: Receiver, tmp_path: Path) -> Iterator[Run]:
    """Starts an example; returns its URL. At the end it must stop by itself."""
    servers: list[ServerProcess] = []

    def start(module: str, **environment: str) -> str:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "uvicorn", f"--app-dir={_ROOT}", f"--port={port}", f"examples.{module}:app"]
        variables = {"OTEL_SERVICE_NAME": "orders", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, **environment}
        servers.append(ServerProcess(module, command, tmp_path, lambda: answers(f"{url}/docs"), variables))
        servers[-1].start()
        return url

    yield start
    for server in servers:
        server.stop(60)


def _named(receiver: Receiver, *names: str) -> list[Span]:
    """The spans of these names, once all have arrived."""

    def arrived() -> list[Span] | None:
        spans = {span.name: span for span in receiver.spans()}
        return [spans[name] for name in names] if set(names) <= set(spans) else None

    spans = poll_until("the spans", arrived)
    assert spans
    return spans


def test_fastapi_alone(receiver: Receiver, run: Run) -> None:
    url = run("fastapi_alone")
    assert CLIENT.get(f"{url}/health").json() == "ok"
    assert CLIENT.get(f"{url}/orders/6").json() == {"number": 6, "price": 42}
    request, price = _named(receiver, "GET /orders/{number}", "price")
    assert price.parent_span_id == request.span_id
    assert [(item.key, item.value.int_value) for item in price.attributes] == [("order.number", 6)]
    assert not [span for span in receiver.spans() if "health" in span.name]


# `brokers` comes first, so that it ends last: without its brokers, a consumer takes 45 s to leave its group.
def test_fastapi_with_kafka_and_sql(brokers: Brokers, receiver: Receiver, run: Run, tmp_path: Path) -> None:
    url = run("fastapi_kafka_sql", KAFKA=brokers.addresses, DATABASE=f"sqlite:///{tmp_path}/orders.db")
    assert CLIENT.post(f"{url}/orders/6").status_code == 202
    path = _named(
        receiver, "POST /orders/{number}", "send orders", "process orders", "INSERT orders", "COMMIT"
    )  # fmt: skip
    request, send, process, insert, commit = path
    assert len({span.trace_id for span in path}) == 1
    assert [span.parent_span_id for span in path[1:]] == [
        request.span_id, send.span_id, process.span_id, process.span_id,
    ]  # fmt: skip
    assert [link.span_id for link in process.links] == [send.span_id]
    assert insert.end_time_unix_nano <= commit.start_time_unix_nano


def test_the_guide_shows_code_of_the_examples() -> None:
    guide = (_ROOT / "docs" / "add-tracing.md").read_text()
    (service,) = re.findall(r"```python orders.py\n(.*?)```", guide, re.DOTALL)
    assert (_ROOT / "examples" / "fastapi_alone.py").read_text().endswith(service)
    (excerpt,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    lines = [line.strip() for line in (_ROOT / "examples" / "fastapi_kafka_sql.py").read_text().splitlines()]
    assert {line for line in excerpt.splitlines() if line} <= set(lines)

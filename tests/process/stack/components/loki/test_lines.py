"""The real Loki, fed by the service library through the real Collector, and killed."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from checks.harness.collector import TOKEN, CollectorProcess
from checks.harness.http import CLIENT
from collector.pipeline import OtlpTarget, Pipeline, render
from dashboards.datasources import datasources
from lean_tracing import Tracing, TracingSettings, start_tracing
from stack.components.loki.config import INDEXED
from stack.polling import poll_until
from tests.support.loki_process import LokiProcess, otlp
from tests.support.programs import require_built

LOGGER = logging.getLogger("under.test")
HOUR = 3600 * 10**9


@pytest.fixture
def loki(tmp_path: Path) -> Iterator[LokiProcess]:
    process = LokiProcess(tmp_path)
    process.start()
    yield process
    process.kill()


@contextmanager
def collector(log_store: str, directory: Path) -> Iterator[str]:
    """The real Collector with the stack's own logs pipeline; its OTLP gRPC URL."""
    require_built("otelcol-contrib", "collector")
    nowhere = "http://127.0.0.1:9"
    config: dict[str, Any] = yaml.safe_load(
        render(
            Pipeline(
                trace_store=OtlpTarget("127.0.0.1:9"),
                metric_stores=[OtlpTarget(nowhere, "http")],
                log_store=OtlpTarget(log_store, "http"),
                queue_size=10_000,
            )
        )
    )
    config["service"]["pipelines"] = {"logs": config["service"]["pipelines"]["logs"]}
    process = CollectorProcess(directory / "collector", yaml.safe_dump(config))
    try:
        process.start()
        yield f"http://{process.grpc}"
    finally:
        process.kill()


@contextmanager
def service(endpoint: str) -> Iterator[Tracing]:
    """The service library, as a service of the stack starts it; LOGGER writes through it."""
    settings = TracingSettings(
        endpoint=endpoint,
        headers={"authorization": f"Bearer {TOKEN}"},
        service_name="gateway",
        resource_attributes={
            "deployment.environment.name": "test",
            "k8s.namespace.name": "tracing",
            "k8s.pod.name": "gateway-7d9",
        },
        hash_key="a key for tests",
        logs_exporter="otlp",
        delay_ms=20,
    )
    tracing = start_tracing(settings)
    assert tracing.log_handler
    LOGGER.addHandler(tracing.log_handler)
    try:
        yield tracing
    finally:
        LOGGER.removeHandler(tracing.log_handler)
        tracing.shutdown(0.2)  # its spans have nowhere to go here


def lines_of_a_span(service_name: str, trace_id: str) -> str:
    """What Grafana asks Loki for when someone goes from a span to its lines."""
    sources = datasources(backend="tempo", traces_url="http://t", prometheus_url="http://p", loki_url="http://l")
    link = next(source for source in sources["datasources"] if source["uid"] == "traces")["jsonData"]["tracesToLogsV2"]
    ((tag,), query) = link["tags"], link["query"].replace("$$", "$")  # which provisioning makes of it
    assert tag["key"] == "service.name"
    values = {"${__tags}": f'{tag["value"]}="{service_name}"', "${__trace.traceId}": trace_id}
    for variable, value in values.items():
        assert variable in query
        query = query.replace(variable, value)
    assert "$" not in query
    return str(query)


def test_a_services_lines_are_found_by_trace_id(loki: LokiProcess, tmp_path: Path) -> None:
    started = time.time_ns()
    with collector(f"{loki.url}/otlp", tmp_path) as endpoint, service(endpoint) as tracing:
        spans = {}
        for number in range(3):
            with tracing.traces.span(f"request {number}") as span:
                context = span.get_span_context()
                spans[f"{context.trace_id:032x}"] = f"{context.span_id:016x}"
                LOGGER.warning("request %d of ada@example.com", number, extra={"task_id": f"task-{number}"})
        for number, (trace_id, span_id) in enumerate(spans.items()):
            query = lines_of_a_span("gateway", trace_id)
            lines = poll_until(f"line of trace {trace_id}", partial(loki.query, query, started, started + HOUR))
            ((labels, _, line),) = lines
            assert line.startswith(f"request {number} of ")
            assert "ada@example.com" not in line
            assert labels["span_id"] == span_id
            assert labels["k8s_pod_name"] == "gateway-7d9", "metadata, which need not be an index label"
            assert labels["task_id"] == f"task-{number}"
            assert labels["severity_text"] == "WARNING"

    (series,) = CLIENT.get(f"{loki.url}/loki/api/v1/series", params={"match[]": '{service_name="gateway"}'}).json()[
        "data"
    ]
    assert series.keys() <= {attribute.replace(".", "_") for attribute in INDEXED}


def test_lines_of_a_service_during_an_outage_of_loki_arrive_after_it(loki: LokiProcess, tmp_path: Path) -> None:
    started = time.time_ns()
    with collector(f"{loki.url}/otlp", tmp_path) as endpoint, service(endpoint) as tracing:
        LOGGER.warning("before")
        poll_until("first line", partial(loki.query, '{service_name="gateway"}', started, started + HOUR))
        loki.kill()
        for number in range(1000):
            LOGGER.warning("line %d", number)
        (logs,) = [signal for signal in tracing.statistics.signals if signal.signal == "logs"]
        poll_until("1,001 lines taken by the Collector", lambda: logs.exported >= 1001)
        loki.start()

        def stored() -> set[str]:
            return {line for _, _, line in loki.query('{service_name="gateway"}', started, started + HOUR)}

        poll_until("1,001 lines", lambda: len(stored()) >= 1001, every=0.2)
        assert stored() == {"before", *(f"line {number}" for number in range(1000))}


def test_what_it_acknowledged_outlives_its_being_killed(loki: LokiProcess) -> None:
    started, acknowledged, stop = time.time_ns(), set[str](), threading.Event()

    def write(writer: int) -> None:
        number = 0
        with httpx.Client(base_url=loki.url, timeout=5) as client:
            while not stop.is_set():
                now = time.time_ns()
                lines = {f"writer {writer} line {number + i}": now + i for i in range(10)}
                try:
                    answer = client.post("/otlp/v1/logs", json=otlp(lines, service_name=f"writer-{writer}"))
                except httpx.HTTPError:
                    stop.wait(0.05)  # it was just killed
                    continue
                if answer.is_success:
                    acknowledged.update(lines)
                    number += 10
                    stop.wait(0.01)

    def stored() -> set[str]:
        return {
            line
            for writer in range(2)
            for _, _, line in loki.query(f'{{service_name="writer-{writer}"}}', started, time.time_ns())
        }

    def more_than(count: int) -> bool:
        return len(acknowledged) > count

    writers = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(2)]
    for thread in writers:
        thread.start()
    try:
        for kill in range(1, 4):
            poll_until(f"{kill * 500} acknowledged lines", partial(more_than, kill * 500))
            loki.kill()
            loki.start()
    finally:
        stop.set()
        for thread in writers:
            thread.join(10)
    assert len(acknowledged) < 10_000, "one query per writer is to show them all"
    assert not acknowledged - stored()


def test_late_lines_of_a_stream_are_taken_and_found(loki: LokiProcess) -> None:
    """After an outage one Collector's queue is through before another's."""
    now = time.time_ns()
    lines = {"now": now, "11 hours ago": now - 11 * HOUR, "5 hours ago": now - 5 * HOUR}
    for line, timestamp in lines.items():
        answer = CLIENT.post(f"{loki.url}/otlp/v1/logs", json=otlp({line: timestamp}, service_name="late"), timeout=10)
        assert answer.is_success, answer.text
    stored = loki.query('{service_name="late"}', now - 12 * HOUR, now + HOUR)
    assert {line: timestamp for _, timestamp, line in stored} == lines


def test_lines_of_an_outage_of_days_are_found_at_once(loki: LokiProcess, tmp_path: Path) -> None:
    late = time.time_ns() - 40 * HOUR
    answer = CLIENT.post(f"{loki.url}/otlp/v1/logs", json=otlp({"late": late}, service_name="days"), timeout=10)
    assert answer.is_success, answer.text

    def stored() -> list[str]:
        return [line for _, _, line in loki.query('{service_name="days"}', late - HOUR, late + HOUR)]

    assert stored() == ["late"]
    assert CLIENT.post(f"{loki.url}/flush", timeout=10).is_success
    poll_until("chunk on disk", lambda: list((tmp_path / "data" / "chunks" / "fake").rglob("*")))
    assert stored() == ["late"], "where it is kept makes no difference"


def test_what_is_past_its_retention_is_deleted(tmp_path: Path) -> None:
    # It takes no lines that old, so the retention is made shorter once they are there.
    loki = LokiProcess(tmp_path, "96h")
    now = time.time_ns()
    ages = {"old": 72 * HOUR, "young": HOUR}

    def index_of(age: str) -> list[Path]:
        day = (now - ages[age]) // (24 * HOUR)
        return [file for file in (tmp_path / "data" / "chunks" / "index" / f"index_{day}").rglob("*") if file.is_file()]

    try:
        loki.start()
        for service, age in ages.items():
            lines = otlp({f"{service} line": now - age}, service_name=service)
            answer = CLIENT.post(f"{loki.url}/otlp/v1/logs", json=lines, timeout=10)
            assert answer.is_success, answer.text
        assert CLIENT.post(f"{loki.url}/flush", timeout=10).is_success
        chunks = tmp_path / "data" / "chunks" / "fake"
        poll_until("a chunk of each", lambda: len([file for file in chunks.rglob("*") if file.is_file()]) == 2)
        loki.stop()
        loki.change("24h", compactor={"compaction_interval": "3s"})
        loki.start()  # which brings the index to its place
        poll_until("index of both days", lambda: index_of("old") and index_of("young"))
        poll_until("the old day to be forgotten", lambda: not index_of("old"))
        assert index_of("young")
        assert loki.query('{service_name="old"}', now - 96 * HOUR, now) == []
    finally:
        loki.kill()


def test_large_requests_and_long_lines_are_taken(loki: LokiProcess) -> None:
    """2,048 records are one batch of the Collector; one that Loki always refused would come again for ever."""
    now = time.time_ns()
    lines = {f"{number:04} {'x' * 8000}": now + number for number in range(2048)}
    answer = CLIENT.post(f"{loki.url}/otlp/v1/logs", json=otlp(lines, service_name="large"), timeout=60)
    assert answer.is_success, answer.text
    answer = CLIENT.post(f"{loki.url}/otlp/v1/logs", json=otlp({"y" * 400_000: now}, service_name="long"), timeout=60)
    assert answer.is_success, answer.text
    assert len(loki.query('{service_name="large"}', now - HOUR, now + HOUR)) == 2048
    ((_, _, line),) = loki.query('{service_name="long"}', now - HOUR, now + HOUR)
    assert len(line) == 256 * 1024, "cut, not dropped"


def test_a_line_older_than_the_retention_is_refused_with_the_reason(loki: LokiProcess) -> None:
    old = time.time_ns() - 49 * HOUR
    answer = CLIENT.post(f"{loki.url}/otlp/v1/logs", json=otlp({"old": old}, service_name="old"), timeout=10)
    assert answer.status_code == 400
    metrics = CLIENT.get(f"{loki.url}/metrics", timeout=10).text
    assert 'reason="greater_than_max_sample_age"' in metrics


def test_requests_to_delete_are_refused(loki: LokiProcess) -> None:
    what = {"query": '{service_name="gateway"}', "start": "0", "end": str(time.time_ns() // 10**9)}
    answer = CLIENT.post(f"{loki.url}/loki/api/v1/delete", params=what, timeout=10)
    assert answer.status_code == 403, answer.text

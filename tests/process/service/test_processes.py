"""The services as processes: their start without dependencies, their exports, their end, and the image's code."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from checks.harness.http import CLIENT
from contracts.services import PACKAGES
from local.images.service import code_files
from stack.polling import poll_until
from tests.support.service_process import ROOT, answers, http_status, service_environment, service_process


@pytest.mark.parametrize("module", ["gateway", "task_manager", "crawler"])
def test_a_service_stays_up_without_dependencies_and_ends_cleanly(module: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with service_process(module, log) as (process, url):
        poll_until(f"answer of {module}", partial(answers, f"{url}/api/health/live"))
        poll_until("checked Kafka", lambda: "down" in CLIENT.get(f"{url}/api/health").text)
        assert http_status(f"{url}/api/health/live") == 200
        assert http_status(f"{url}/api/health/ready") == 503
        assert CLIENT.get(f"{url}/api/metrics").is_success
        if module != "crawler":
            body = {"user_email": "ada@example.com", "user_query": "?", "base_url": "http://x/"}
            refused = CLIENT.post(f"{url}/api/tasks", json=body, timeout=30)
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert "retry-after" in refused.headers
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    written = log.read_text()
    assert "ada@example.com" not in written
    assert "hunter2" not in written


def test_the_code_of_the_image_is_complete(tmp_path: Path) -> None:
    for file in code_files(ROOT):
        target = tmp_path / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    services = (f"service.{name}.__main__" for name in PACKAGES.values())
    modules = ", ".join((*services, "stack.probe.__main__"))
    subprocess.run([sys.executable, "-c", f"import {modules}"], cwd=tmp_path, check=True, timeout=60)


def test_wrong_environment_is_one_clear_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "service.gateway"],
        env=service_environment(TRACING_SAMPLING_RATE="2", PORT="8080"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert ended.stderr == "gateway: TRACING_SAMPLING_RATE='2' is not valid: expected a number from 0 to 1\n"


def test_help_lists_the_variables() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "service.task_manager", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0
    assert ended.stdout.startswith("usage: python -m service.task_manager\n")
    assert "  DATABASE_URL " in ended.stdout
    assert "  TRACING_SAMPLING_RATE " in ended.stdout


class _Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.requests: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:  # the protocol's name
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[_Collector, str]]:
    servicer = _Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(None)


def test_the_last_spans_reach_the_collector_at_sigterm(collector: tuple[_Collector, str], tmp_path: Path) -> None:
    servicer, endpoint = collector
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_SERVICE_NAME": "front",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "TRACING_DELAY_MS": "600000",  # nothing is sent before the end
    }
    with service_process("gateway", tmp_path / "log", **environment) as (process, url):
        poll_until("gateway", partial(answers, f"{url}/demo"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    (request,) = servicer.requests
    (resource,) = request.resource_spans
    attributes = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    assert attributes["service.name"] == "front"
    assert attributes["deployment.environment.name"] == "test"
    assert [span.name for span in resource.scope_spans[0].spans] == ["GET /demo"]

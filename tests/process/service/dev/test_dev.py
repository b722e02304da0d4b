"""The development mode draws traces, and one command runs all services."""

import contextlib
import io
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from opentelemetry.trace import SpanKind
from rich.console import Console

from checks.harness.http import CLIENT
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.testing import Recorder
from service.dev.traces import ServiceSpan, Trace, Traces, is_complete
from service.dev.tree import draw
from stack.polling import poll_until
from tests.support.service_process import ROOT


def _spans(make_recorder: Callable[[str], Recorder], *, handled: bool) -> list[ServiceSpan]:
    gateway, manager = make_recorder("gateway"), make_recorder("task-manager")
    topic = {"messaging.destination.name": "task-status"}
    with (
        gateway.traces.span("POST /api/tasks", kind=SpanKind.SERVER),
        gateway.traces.span("send task-status", kind=SpanKind.PRODUCER, attributes=topic),
    ):
        if handled:
            with pytest.raises(KeyError), manager.traces.span("process task-status", kind=SpanKind.CONSUMER):
                raise KeyError("no such thing")
    return [ServiceSpan(service="gateway", span=span) for span in gateway.spans()] + [
        ServiceSpan(service="task-manager", span=span) for span in manager.spans()
    ]


def test_a_trace_is_complete_when_it_waits_for_nothing(make_recorder: Callable[[str], Recorder]) -> None:
    assert not is_complete(_spans(make_recorder, handled=False))
    spans = _spans(make_recorder, handled=True)
    assert is_complete(spans)
    assert not is_complete([span for span in spans if span.span.kind is not SpanKind.PRODUCER])


def test_the_tree_shows_every_hop_below_its_parent_and_what_failed(make_recorder: Callable[[str], Recorder]) -> None:
    spans = sorted(_spans(make_recorder, handled=True), key=lambda span: span.start)
    paper = io.StringIO()
    Console(file=paper, width=160).print(draw(Trace(id="ab" * 16, spans=spans, is_complete=True)))
    title, *lines = [line.rstrip() for line in paper.getvalue().splitlines() if line.strip()]
    assert title.startswith(f"trace {'ab' * 16}  3 spans in ")
    assert title.endswith(", 1 failed")
    assert [line.partition("  ")[0].rstrip() for line in lines[:2]] == ["POST /api/tasks", "└─ send task-status"]
    assert lines[2].startswith("   └─ process task-status")
    assert "task-manager" in lines[2]
    assert "no such thing" in lines[3]


def test_a_trace_is_shown_once_and_an_incomplete_one_at_the_end(make_recorder: Callable[[str], Recorder]) -> None:
    shown: list[Trace] = []
    traces = Traces(shown.append)
    tracing = start_tracing(TracingSettings(service_name="gateway", delay_ms=10), exporter=traces.exporter("gateway"))
    with tracing.traces.span("GET /demo", kind=SpanKind.SERVER):
        pass
    with tracing.traces.span("send", kind=SpanKind.PRODUCER, attributes={"messaging.destination.name": "t"}):
        pass

    def is_shown() -> bool:
        traces.show_finished()
        return bool(shown)

    poll_until("complete trace", is_shown)
    tracing.shutdown()
    traces.show_finished(everything=True)
    traces.show_finished(everything=True)
    assert [trace.is_complete for trace in shown] == [True, False]


def _three_free_ports() -> int:
    """The first of three free ports in a row, below the range that the system uses for connections."""
    for first in random.sample(range(20_000, 32_000, 3), 20):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + 3):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    pytest.fail("no three free ports in a row")


def _dev(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "service.dev", *arguments],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "180"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_one_task_and_its_trace(tmp_path: Path) -> None:
    port = _three_free_ports()
    arguments = ("--port", str(port), "--task", f"http://127.0.0.1:{port}/demo", "--log", str(tmp_path / "log"))
    process = _dev(*arguments)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    for span in (
        "POST /api/tasks",
        "INSERT web_crawl_tasks",
        "process requests-web-crawl",
        "GET /demo",
        "complete task",
    ):
        assert span in output
    assert "completed A page to crawl" in output
    assert "incomplete" not in output
    assert '"severity"' not in output
    assert '"severity"' in (tmp_path / "log").read_text()


def test_a_page_that_cannot_be_crawled_ends_with_the_reason(tmp_path: Path) -> None:
    port = _three_free_ports()
    url = f"http://127.0.0.1:{port}/missing"
    process = _dev("--port", str(port), "--task", url, "--log", str(tmp_path / "log"))
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 1, output
    assert output.splitlines()[-1].rstrip() == "error the server answered 404"


def test_a_task_without_an_absolute_url_is_refused_with_the_reason(tmp_path: Path) -> None:
    process = _dev("--port", str(_three_free_ports()), "--task", "example", "--log", str(tmp_path / "log"))
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 1, output
    refusal = "refused body.base_url: not an absolute http or https URL"
    assert output.splitlines()[-1].rstrip() == refusal


@pytest.mark.parametrize("option", ["--log", "--database"])
def test_a_file_that_cannot_be_written_is_refused_at_once(option: str, tmp_path: Path) -> None:
    process = _dev(option, str(tmp_path / "missing" / "file"))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output.rstrip().endswith(f"error: {option} {tmp_path}/missing/file: No such file or directory")


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    port = _three_free_ports()
    process = _dev("--port", str(port), "--log", str(tmp_path / "log"))

    def ready() -> bool:
        assert process.poll() is None, process.communicate()[0]
        try:
            return CLIENT.get(f"http://127.0.0.1:{port}/api/health/ready").is_success
        except httpx.TransportError:
            return False

    poll_until("readiness", ready)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 0, output
    assert "Traceback" not in output


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = _dev("--port", str(port))
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"port {port} is not available" in output
    assert "--port" in output

"""`python -m service.dev`: see the package."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import httpx
from rich.console import Console
from rich.text import Text

from service.dev.system import NotStarted, System, running
from service.dev.traces import Trace, Traces
from service.dev.tree import COLOURS, draw
from service.tracing.logs import JsonFormatter
from service.tracing.redaction import Redactor

_TRACE_SECONDS = 60.0


class _Warnings(logging.Handler):
    """What a developer should know at once, a line each, between the trees; all else is in the file."""

    def __init__(self, console: Console, redactor: Redactor) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self._redactor = redactor

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the record's message, without its stack."""
        colour = "red" if record.levelno >= logging.ERROR else "yellow"
        self._console.print(
            Text.assemble((f"{record.levelname.lower()} ", colour), self._redactor.text(record.getMessage()))
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 where the services did not start or the page of `--task` was not crawled."""
    parser = argparse.ArgumentParser(
        prog="python -m service.dev",
        description="Gateway, task-manager and web-crawler in one process, on SQLite and mock brokers; "
        "each trace is drawn as soon as it is complete.",
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="the gateway's; the two behind it are the others' (8080)"
    )
    parser.add_argument("--task", metavar="URL", help="have this page crawled, draw the trace, and exit")
    parser.add_argument("--database", type=Path, metavar="FILE", help="keep the tasks in this SQLite file")
    default_log = Path(tempfile.gettempdir(), "web-crawl-dev.log")
    parser.add_argument("--log", type=Path, default=default_log, help=f"the services' logs, as JSON ({default_log})")
    asked = parser.parse_args(arguments)
    if not 0 <= asked.port <= 65533:
        parser.error(f"--port {asked.port}: expected 0 (any free ones) to 65533")

    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    # In a pipe there is no terminal to fit, and a line cut off tells less than a long one.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 180)
    _log_to(asked.log, console)
    started = time.monotonic()
    status = console.status("starting gateway, task-manager and web-crawler")
    status.start()
    drawn: list[Trace] = []

    def show(trace: Trace) -> None:
        drawn.append(trace)
        del drawn[:-100]
        console.print(draw(trace))

    # With --task only that one is of interest, not the reading of its result.
    traces = Traces(drawn.append if asked.task else show)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="web-crawl-") as directory,
            running(asked.port, asked.database or Path(directory, "tasks.db"), traces.exporter, stop) as system,
        ):
            status.stop()
            if asked.task:
                return _crawl(asked.task, system, traces, drawn, console, stop)
            _greet(console, system, asked.log, time.monotonic() - started)
            while not stop.wait(0.05):
                traces.show_finished()
            status.update("stopping")
            status.start()
    except NotStarted as error:
        status.stop()
        if not stop.is_set():
            console.print(Text.assemble(("error ", "bold red"), f"{error} ({asked.log})"))
        return 0 if stop.is_set() else 1
    finally:
        status.stop()
    traces.show_finished(everything=True)
    return 0


def _log_to(path: Path, console: Console) -> None:
    redactor = Redactor("development")
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(JsonFormatter("development", redactor))
    logging.basicConfig(level=logging.INFO, handlers=[handler, _Warnings(console, redactor)], force=True)
    for chatty, level in (("httpx", logging.WARNING), ("librdkafka", logging.ERROR)):
        logging.getLogger(chatty).setLevel(level)


def _greet(console: Console, system: System, log: Path, seconds: float) -> None:
    body = {"user_email": "ada@example.com", "user_query": "What is here?", "base_url": f"{system.gateway}/demo"}
    names = dict(zip(COLOURS, (system.gateway, system.task_manager, system.crawler), strict=True))
    console.print(f"ready in {seconds:.1f} s; Ctrl-C ends it")
    for name, url in names.items():
        docs = "/docs" if name != "web-crawler" else "/api/health"
        console.print(Text.assemble(f"  {name:<14}", (f"{url}{docs}", COLOURS[name])))
    console.print(Text.assemble("  logs          ", str(log)))
    # They answer a fetch that waits only at its end.
    console.print("The mock brokers hand a message over up to 0.5 s late; a real Kafka does not.", style="dim")
    console.print("\nTry, in another terminal:\n")
    console.print(
        f"curl {system.gateway}/api/tasks -H 'Content-Type: application/json' -d '{json.dumps(body)}'\n",
        soft_wrap=True,
        markup=False,
    )


def _crawl(
    url: str, system: System, traces: Traces, drawn: list[Trace], console: Console, stop: threading.Event
) -> int:
    body = {"user_email": "ada@example.com", "user_query": "development", "base_url": url}
    answer = httpx.post(f"{system.gateway}/api/tasks", json=body, timeout=10.0)
    accepted = answer.json()
    if not answer.is_success:
        console.print(Text.assemble(("refused ", "bold red"), json.dumps(accepted)))
        return 1
    deadline = time.monotonic() + _TRACE_SECONDS
    while not (found := [trace for trace in drawn if trace.id == accepted["trace_id"]]):
        traces.show_finished(everything=time.monotonic() > deadline)
        if stop.wait(0.05):
            return 1
    console.print(draw(found[0]))
    task = httpx.get(f"{system.gateway}/api/tasks/{accepted['id']}", timeout=10.0).json()
    result = task.get("result") or {}
    completed = task.get("status") == "completed"
    console.print(
        Text.assemble(
            ("completed ", "bold green") if completed else (f"{task.get('status', 'lost')} ", "bold red"),
            f"{result.get('title') or '(no title)'}: {result.get('text', '')[:200]}" if completed else str(result),
        )
    )
    return 0 if completed else 1


if __name__ == "__main__":
    sys.exit(main())

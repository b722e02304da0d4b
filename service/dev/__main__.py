"""`python -m service.dev`: runs the three services and draws their traces."""

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import httpx
from rich.console import Console
from rich.text import Text

from contracts import http
from contracts.services import SERVICES
from service.dev import output
from service.dev.system import NotStarted, System, running
from service.dev.traces import Trace, Traces
from service.dev.tree import draw

_TRACE_SECONDS: Final = 60.0
_MOST_KEPT_TRACES: Final = 100


def main(arguments: Sequence[str] | None = None, prog: str = "python -m service.dev") -> int:
    """Runs the services until Ctrl-C, or until the task of `--task` is done.

    Args:
        arguments: the arguments of the command line; None: those of the process.
        prog: the command, for the help text.

    Returns:
        The exit code: 0, or 1 if the services did not start or the page of `--task` was not crawled.
    """
    options = _parse(arguments, prog)
    stop = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    # A pipe has no width to fit, and a cut line loses information.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 180)
    output.configure_logging(options.log, console)
    kept: list[Trace] = []

    def show(trace: Trace) -> None:
        kept.append(trace)
        del kept[:-_MOST_KEPT_TRACES]
        if not options.task:  # with --task, only the trace of the task is drawn
            console.print(draw(trace))

    traces = Traces(show)
    try:
        _run(options, console, traces, kept, stop)
    except NotStarted as error:
        if stop.is_set():
            return 0
        console.print(Text.assemble(("error ", "bold red"), f"{error} ({options.log})"))
        return 1
    except _TaskFailed:
        return 1
    return 0


class _TaskFailed(Exception):
    """The page of `--task` was not crawled; the reason is already printed."""


def _parse(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    default_log = Path(tempfile.gettempdir(), "web-crawl-dev.log")
    parser = argparse.ArgumentParser(
        prog=prog,
        description="All services in one process, on SQLite and mock brokers; "
        "each trace is drawn as soon as it is complete.",
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="port of the gateway; the others use the next ports (8080)"
    )
    parser.add_argument("--task", metavar="URL", help="crawl this page, draw the trace, and exit")
    parser.add_argument("--database", type=Path, metavar="FILE", help="keep the tasks in this SQLite file")
    parser.add_argument("--log", type=Path, default=default_log, help=f"the services' logs, as JSON ({default_log})")
    options = parser.parse_args(arguments)
    last = 65_536 - len(SERVICES)
    if not 0 <= options.port <= last:
        parser.error(f"--port {options.port}: expected 0 (any free ports) to {last}")
    for option, path in (("--log", options.log), ("--database", options.database)):
        try:
            if path:
                path.open("ab").close()
        except OSError as error:
            parser.error(f"{option} {path}: {error.strerror}")
    return options


def _run(
    options: argparse.Namespace, console: Console, traces: Traces, kept: list[Trace], stop: threading.Event
) -> None:
    """Raises NotStarted or _TaskFailed."""
    started = time.monotonic()
    with (
        console.status(f"starting {', '.join(SERVICES)}") as status,
        tempfile.TemporaryDirectory(prefix="web-crawl-") as directory,
        running(options.port, options.database or Path(directory, "tasks.db"), traces.exporter, stop) as system,
    ):
        status.stop()
        if options.task:
            _crawl(options.task, system, traces, kept, console, stop)
            return
        output.greet(console, system, options.log, time.monotonic() - started)
        while not stop.wait(0.05):
            traces.show_finished()
        status.update("stopping")
        status.start()
    traces.show_finished(everything=True)


def _crawl(
    url: str, system: System, traces: Traces, kept: list[Trace], console: Console, stop: threading.Event
) -> None:
    body = {"user_email": "ada@example.com", "user_query": "development", "base_url": url}
    answer = httpx.post(f"{system.gateway}{http.TASKS}", json=body, timeout=10.0)
    accepted = answer.json()
    if not answer.is_success:
        output.refused(console, accepted)
        raise _TaskFailed
    deadline = time.monotonic() + _TRACE_SECONDS
    while not (matching := [trace for trace in kept if trace.id == accepted["trace_id"]]):
        traces.show_finished(everything=time.monotonic() > deadline)
        if stop.wait(0.05):
            raise _TaskFailed
    console.print(draw(matching[0]))
    task = httpx.get(f"{system.gateway}{http.TASKS}/{accepted['id']}", timeout=10.0).json()
    if not output.finished(console, task):
        raise _TaskFailed


if __name__ == "__main__":
    sys.exit(main())

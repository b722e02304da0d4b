"""`make outage` measures a service at a constant 100 spans/s while the Collector stops and starts again.

It counts the spans that arrive, by a number in each span's name. It measures the latency of the requests with and
without the Collector, and the memory of the service. The Collector is a process that really ends and starts again.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Final

import httpx
import uvicorn
from fastapi import FastAPI
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from checks.bench.figures import quantile
from checks.bench.usage import resident_mib
from checks.harness.ports import free_port
from checks.harness.receiver import Receiver, spans_of
from contracts.errors import UserError
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.asgi import TracingMiddleware
from stack.polling import poll_until

ROOT: Final = Path(__file__).parents[2]
REQUESTS_A_SECOND: Final = 50  # of two spans each
_WARM_SECONDS: Final = 10


def serve(port: int, endpoint: str) -> None:
    """Run the service: two spans per request, and its own counts."""
    tracing = start_tracing(TracingSettings(endpoint=endpoint, service_name="outage", delay_ms=1000))
    app = FastAPI()

    @app.get("/items/{number}")
    async def work(number: int) -> dict[str, int]:
        with tracing.traces.span(f"work {number}", attributes={"task.status": "new", "attempt": 1}):
            return {"number": number}

    @app.get("/api/health")
    async def state() -> dict[str, float]:
        (traces,) = tracing.statistics.signals
        items, _, size = traces.buffered()
        return {
            "rss": resident_mib(), "buffered": items, "bytes": size, "unaccounted": traces.unaccounted,
            "dropped": sum(traces.dropped.values()), "waiting": items + traces.queued() + traces.in_flight,
        }  # fmt: skip

    wrapped = TracingMiddleware(app, tracing.traces, excluded=["/api/health"])
    uvicorn.run(wrapped, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    tracing.shutdown()


def receive(port: int, file: Path) -> None:
    """Run a receiver in place of the Collector: it appends the name of every span to a file, then acknowledges."""
    receiver = Receiver()
    receiver.port = port
    with file.open("a") as names:

        def keep(_method: str, request: bytes) -> None:
            names.write("".join(f"{span.name}\n" for span in spans_of(request)))
            names.flush()

        receiver.keep = keep
        receiver.start()
        sys.stdin.read()
        receiver.stop()


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "checks.bench.collector_outage", *arguments], cwd=ROOT, stdin=subprocess.PIPE
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)


class _Load:
    """Sends requests at a constant rate; `latencies` has one list in ms for each run of a phase."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10.0)
        self.sent = 0
        self.latencies: dict[str, list[list[float]]] = {}

    def run(self, phase: str, seconds: float, progress: Progress) -> None:
        """Send requests for `seconds`; every request must succeed."""
        task = progress.add_task(f"Collector {phase}", total=seconds)
        latencies: list[float] = []
        self.latencies.setdefault(phase, []).append(latencies)
        started = time.perf_counter()
        for number in range(int(seconds * REQUESTS_A_SECOND)):
            due = started + number / REQUESTS_A_SECOND
            if (wait := due - time.perf_counter()) > 0:
                time.sleep(wait)
            began = time.perf_counter()
            self._client.get(f"/items/{self.sent}").raise_for_status()
            latencies.append((time.perf_counter() - began) * 1000)
            self.sent += 1
            progress.update(task, completed=time.perf_counter() - started)
        progress.remove_task(task)

    def state(self) -> dict[str, float]:
        """Return the service's own counts."""
        answer: dict[str, float] = self._client.get("/api/health").json()
        return answer


def measure(seconds: int, repeats: int, console: Console) -> bool:
    """Run the outages and print the results; return whether all spans arrived."""
    otlp, port = free_port(), free_port()
    with (
        tempfile.TemporaryDirectory() as directory,
        _process("--serve", str(port), str(otlp)),
        Progress(console=console, transient=True) as progress,
    ):
        file = Path(directory, "names")
        load = _Load(port)
        poll_until("service", lambda: _answers(load))
        with _process("--receive", str(otlp), str(file)):
            load.run("up", _WARM_SECONDS, progress)
            load.latencies.clear()
        at_start = load.state()["rss"]
        worst, most = 0.0, 0.0
        for _ in range(repeats):
            load.run("down", seconds / repeats, progress)
            state = load.state()
            worst, most = max(worst, state["rss"]), max(most, state["bytes"])
            with _process("--receive", str(otlp), str(file)):
                # First the backlog is sent. Then the load lasts as long as the outage, for a fair comparison.
                poll_until("everything sent", lambda: load.state()["waiting"] == 0, seconds=60)
                load.run("up", seconds / repeats, progress)
                poll_until("everything sent", lambda: load.state()["waiting"] == 0, seconds=60)
        after = load.state()
        names = Counter(file.read_text().splitlines())
    numbers = {name: count for name, count in names.items() if name.startswith("work ")}
    requests = names["GET /items/{number}"]
    lost = [number for number in range(load.sent) if f"work {number}" not in numbers]
    table = Table("", "", title=f"Collector stopped for {repeats} x {seconds / repeats:g} s", title_justify="left")
    for row in (
        ("requests, of two spans each", f"{load.sent}, all answered"),
        ("spans that never arrived", f"{len(lost) + max(0, load.sent - requests)}"),
        ("spans that arrived twice", f"{sum(numbers.values()) - len(numbers) + max(0, requests - load.sent)}"),
        ("dropped or not accounted for, as the service counts", f"{after['dropped']:g} / {after['unaccounted']:g}"),
        ("memory before, maximum during the outage, after", f"{at_start:.1f} / {worst:.1f} / {after['rss']:.1f} MiB"),
        ("largest buffer", f"{most / 1024:.0f} KiB"),
        *((f"p{share * 100:g} with Collector / without", _milliseconds(load, share)) for share in (0.5, 0.9, 0.99)),
    ):
        table.add_row(*row)
    console.print(table)
    return not lost and requests >= load.sent


def _milliseconds(load: _Load, share: float) -> str:
    """Return a quantile with and without the Collector, and the scatter between outages."""
    up, down = (quantile(list(chain(*load.latencies[phase])), share) for phase in ("up", "down"))
    pairs = [
        100 * (quantile(without, share) / quantile(having, share) - 1)
        for having, without in zip(load.latencies["up"], load.latencies["down"], strict=True)
    ]
    scatter = f"; single outages {min(pairs):+.0f} to {max(pairs):+.0f} %, median {median(pairs):+.0f} %"
    return f"{up:.2f} / {down:.2f} ms ({100 * (down / up - 1):+.0f} %{scatter if len(pairs) > 1 else ''})"


def _answers(load: _Load) -> bool:
    try:
        return bool(load.state())
    except httpx.HTTPError:
        return False


def run(*, seconds: int = 300, repeats: int = 1) -> None:
    """The command: stop the Collector under load, and count.

    Raises:
        UserError: spans were lost.
    """
    if not measure(seconds, repeats, Console()):
        raise UserError("spans were lost")


if __name__ == "__main__":
    # The processes that `measure` starts: the traced service, and the receiver in the place of the Collector.
    match sys.argv[1:]:
        case ["--serve", port, collector_port]:
            serve(int(port), f"http://127.0.0.1:{collector_port}")
        case ["--receive", port, results_file]:
            receive(int(port), Path(results_file))

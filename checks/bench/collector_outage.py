"""`make outage`: a service under a constant 100 spans/s while the Collector goes away and comes back.

Counts, by a number in each span's name, what arrived of what the requests made; takes the requests' latency while the
Collector is there and while it is not, and the service's memory. The receiver is a process that is really ended and
really started again.
"""

from __future__ import annotations

import argparse
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
from checks.harness.receiver import Receiver, spans_of
from service.tracing import TracingSettings, start_tracing
from service.tracing.asgi import TracingMiddleware
from stack.polling import poll_until
from tests.support.service import free_port

ROOT: Final = Path(__file__).parents[2]
REQUESTS_A_SECOND: Final = 50  # of two spans each
_WARM_SECONDS: Final = 10


def serve(port: int, endpoint: str) -> None:
    """The service: two spans a request, and what it knows of itself."""
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

    wrapped = TracingMiddleware(app, tracing.traces)
    uvicorn.run(wrapped, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    tracing.shutdown()


def receive(port: int, file: Path) -> None:
    """The Collector's stand-in: appends every span's name to a file, then acknowledges."""
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
    """Requests at a constant rate; `latencies` in ms by phase, a list for each time that it was run."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10.0)
        self.sent = 0
        self.latencies: dict[str, list[list[float]]] = {}

    def run(self, phase: str, seconds: float, progress: Progress) -> None:
        """Blocks for `seconds`; every request must succeed."""
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
        """What the service says of itself."""
        answer: dict[str, float] = self._client.get("/api/health").json()
        return answer


def measure(seconds: int, repeats: int, console: Console) -> bool:
    """Runs it and prints the figures; whether no span was lost."""
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
        before = load.state()["rss"]
        worst, most = 0.0, 0.0
        for _ in range(repeats):
            load.run("down", seconds / repeats, progress)
            state = load.state()
            worst, most = max(worst, state["rss"]), max(most, state["bytes"])
            with _process("--receive", str(otlp), str(file)):
                # What waited is sent first; then the same time under load as without it, or the two do not compare.
                poll_until("everything sent", lambda: load.state()["waiting"] == 0, seconds=60)
                load.run("up", seconds / repeats, progress)
                poll_until("everything sent", lambda: load.state()["waiting"] == 0, seconds=60)
        after = load.state()
        names = Counter(file.read_text().splitlines())
    numbers = {name: count for name, count in names.items() if name.startswith("work ")}
    requests = names["GET /items/{number}"]
    lost = [number for number in range(load.sent) if f"work {number}" not in numbers]
    table = Table("", "", title=f"Collector away for {repeats} x {seconds / repeats:g} s", title_justify="left")
    for row in (
        ("requests, of two spans each", f"{load.sent}, all answered"),
        ("spans that never arrived", f"{len(lost) + max(0, load.sent - requests)}"),
        ("spans that arrived twice", f"{sum(numbers.values()) - len(numbers) + max(0, requests - load.sent)}"),
        ("dropped or unaccounted, by its own account", f"{after['dropped']:g} / {after['unaccounted']:g}"),
        ("memory before, most while away, after", f"{before:.1f} / {worst:.1f} / {after['rss']:.1f} MiB"),
        ("largest buffer", f"{most / 1024:.0f} KiB"),
        *((f"p{share * 100:g} with Collector / without", _milliseconds(load, share)) for share in (0.5, 0.9, 0.99)),
    ):
        table.add_row(*row)
    console.print(table)
    return not lost and requests >= load.sent


def _milliseconds(load: _Load, share: float) -> str:
    """The quantile of all requests with and without the Collector, and how the single outages scatter."""
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


def main() -> None:
    """Exit code 1 if a span was lost."""
    parser = argparse.ArgumentParser(prog="python -m checks.bench.collector_outage", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="how long the Collector is away, in all (300)")
    parser.add_argument("--repeats", type=int, default=1, help="in how many outages (1)")
    parser.add_argument("--serve", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--receive", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve[0], f"http://127.0.0.1:{asked.serve[1]}")
    elif asked.receive:
        receive(int(asked.receive[0]), Path(asked.receive[1]))
    elif not measure(asked.seconds, asked.repeats, Console()):
        sys.exit("error: spans were lost")


if __name__ == "__main__":
    main()

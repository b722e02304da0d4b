"""The guard of a Collector's queue files as a process of this machine."""

import re
import shutil
import sys
from pathlib import Path

from checks.harness.collector import CollectorProcess
from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from collector.pipeline import GUARD
from collector.queue_guard import LIVENESS


class GuardProcess(ServerProcess):
    """The guard as it runs in a Collector's pod: without the packages of this project."""

    def __init__(self, directory: Path, collector: CollectorProcess) -> None:
        """`directory` gets the program and its log; the queues are in its folder `collector/queue`."""
        port = free_port()
        url = self._url = f"http://127.0.0.1:{port}/"
        program = directory / "guard" / "collector"
        program.mkdir(parents=True)
        for module in GUARD:
            shutil.copy(module, program)
        command: list[str | Path] = [
            *(sys.executable, "-S", "-m", f"collector.{GUARD[0].stem}", directory / "collector" / "queue"),
            f"--port={port}",
            f"--telemetry=http://127.0.0.1:{collector.telemetry}/metrics",
            f"--health={collector.health}",
        ]
        super().__init__("guard", command, program.parent, lambda: answers(url))

    def metric(self, name: str, queue: str | None = None) -> int:
        """Return a metric, of one queue if the metric has this label; 0 if it has no such sample."""
        labels = f'{{queue="{queue}"}}' if queue else ""
        match = re.search(rf"^{name}{re.escape(labels)} (\d+)$", CLIENT.get(self._url).text, re.MULTILINE)
        return int(match[1]) if match else 0

    def is_live(self) -> bool:
        """Whether the kubelet would leave the Collector alone."""
        return answers(self._url.rstrip("/") + LIVENESS)

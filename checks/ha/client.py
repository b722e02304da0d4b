"""Starts the load in the network of a node, and reads what it wrote."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from checks.chaos.cluster import LocalCluster
from checks.ha import load
from contracts import endpoints, secret_keys
from local.namespace import Namespace
from local.nodes import Node
from local.paths import Home
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import CheckFailure

_LOG: Final = "load.log"
_END_SECONDS: Final = 120.0
"""Until the last requests are answered, and the last spans acknowledged."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What the load sent."""

    run: str
    requests: int = 0
    failures: list[tuple[float, float, str]] = field(default_factory=list)
    """Start and end of each failed request, in s since the epoch, and what failed."""
    slowest: float = 0.0
    """Longest time to an answer, in s."""
    tasks: list[str] = field(default_factory=list)
    """Ids of the acknowledged tasks."""
    ledger: Path
    """The acknowledged spans."""
    resent: int = 0
    """Requests with spans that were sent again."""


class Client:
    """The load of one row."""

    def __init__(self, cluster: LocalCluster, node: Node, directory: Path, run: str, page: str) -> None:
        """Prepares the load.

        Args:
            cluster: with the stack.
            node: in whose network the load runs.
            directory: of its files.
            run: text that no other run has.
            page: URL that the tasks crawl.
        """
        self._page = page
        self._cluster = cluster
        self._namespace = Namespace(Home.default().node(node.name) / "network" if node.has_namespace else None)
        self._directory = directory
        self._run = run
        self.sent = Sent(run=run, ledger=directory / load.SPANS)
        """The result, once `sending` has ended."""

    @contextlib.contextmanager
    def sending(self, rate: float, spans_rate: float) -> Iterator[None]:
        """Sends while the context is open; rates per second."""
        settings = self._cluster.settings
        token = read_secret(connect(settings.cluster), self._cluster.namespace, secret_keys.SECRET)
        collector = f"{self._cluster.address(endpoints.COLLECTOR)}:{endpoints.OTLP_GRPC_PORT}"
        cluster = settings.cluster.model_dump_json(by_alias=True)
        arguments = [self._run, cluster, collector, self._page, str(self._directory), str(rate), str(spans_rate)]
        command = self._namespace.enter(sys.executable, "-m", load.__name__, *arguments)
        environment = os.environ | {
            load.TOKEN: token.get(secret_keys.OTLP_TOKEN, ""),
            load.KEY: self._cluster.stack_key(),
        }
        with (self._directory / _LOG).open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)
        try:
            yield
        finally:
            self._end(process)
        self.sent = self._read()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise CheckFailure("the load does not end", str(self._directory / _LOG)) from None
        if process.returncode != 0:
            raise CheckFailure("the load failed", str(self._directory / _LOG))

    def _read(self) -> Sent:
        written = json.loads((self._directory / load.RESULT).read_text())
        return Sent(
            run=self._run,
            requests=sum(written["answers"].values()),
            failures=[
                (started, ended, f"{method}: {reason}") for method, reason, started, ended in written["failures"]
            ],
            slowest=written["slowest"],
            tasks=written["tasks"],
            ledger=self._directory / load.SPANS,
            resent=written["resent"],
        )

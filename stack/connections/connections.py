"""Tries the connections of each service's pods, by a program that runs in the pods."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from stack.connections import attempt
from stack.connections.targets import targets

SECONDS: Final = 3.0
"""Limit of one connection, its lookup included."""
OK: Final = "OK"
_SOURCE: Final = inspect.getsource(attempt)
_WORKERS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Source:
    """A running pod that connects to dependencies."""

    pod: str
    container: str
    environment: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How one connection went."""

    pod: str
    address: str
    """host:port."""
    outcome: str
    """`OK`, or why there is no connection."""
    ms: float | None

    @property
    def is_ok(self) -> bool:
        """Whether the connection was made."""
        return self.outcome == OK


Execute = Callable[[Source, Sequence[str]], str]
"""Runs a command in a pod, and returns its output. Raises OSError if that is not possible."""


def connections(sources: Sequence[Source], execute: Execute, without_pods: frozenset[str]) -> list[Connection]:
    """Tries all connections of all pods at the same time.

    Args:
        sources: the pods.
        execute: runs the program in a pod.
        without_pods: the Services of the namespace that have no ready pod.
    """
    with ThreadPoolExecutor(_WORKERS) as workers:
        outcomes = workers.map(lambda source: _of_pod(source, execute), sources)
        return [_with_cause(item, without_pods) for items in outcomes for item in items]


def _of_pod(source: Source, execute: Execute) -> list[Connection]:
    addresses = targets(source.environment)
    try:
        output = execute(source, ["python3", "-c", _SOURCE, str(SECONDS), *addresses])
        results = json.loads(output)
    except (OSError, ValueError) as error:
        reason = f"not tried, the pod runs no command: {str(error).partition(chr(10))[0]}"
        return [Connection(pod=source.pod, address=address, outcome=reason, ms=None) for address in addresses]
    return [
        Connection(pod=source.pod, address=item["address"], outcome=item["outcome"], ms=item["ms"]) for item in results
    ]


def _with_cause(connection: Connection, without_pods: frozenset[str]) -> Connection:
    """Adds that a Service has no ready pod, because packets to it are dropped or refused as by a firewall."""
    service = connection.address.partition(":")[0].partition(".")[0]
    if connection.is_ok or service not in without_pods:
        return connection
    return Connection(
        pod=connection.pod,
        address=connection.address,
        outcome=f"{connection.outcome}: no ready pod behind the Service {service}",
        ms=connection.ms,
    )

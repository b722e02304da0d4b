"""Probes of containers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi_kubernetes as k8s

core = k8s.core.v1

_STARTUP_SECONDS: Final = 120


@dataclass(frozen=True, kw_only=True)
class Probes:
    """How the kubelet learns that a container can take requests, and that it still works."""

    readiness: core.ProbeArgs
    liveness: core.ProbeArgs
    own_startup: core.ProbeArgs | None = None
    """What a start must reach before the other two count, if it is more than that the container lives."""

    @property
    def startup(self) -> core.ProbeArgs:
        """The liveness probe, run every second: a slow start, or a slow dependency, is no reason for a restart."""
        if self.own_startup:
            return self.own_startup
        return core.ProbeArgs(
            http_get=self.liveness.http_get,
            tcp_socket=self.liveness.tcp_socket,
            exec_=self.liveness.exec_,
            period_seconds=1,
            timeout_seconds=self.liveness.timeout_seconds,
            failure_threshold=_STARTUP_SECONDS,
        )


def http_probe(path: str, port: int, *, period: int = 10, failures: int = 3) -> core.ProbeArgs:
    """Return a probe that sends an HTTP request."""
    action = core.HTTPGetActionArgs(path=path, port=port)
    return core.ProbeArgs(http_get=action, period_seconds=period, timeout_seconds=3, failure_threshold=failures)


def tcp_probe(port: int, *, period: int = 10, failures: int = 3) -> core.ProbeArgs:
    """Return a probe that only connects."""
    action = core.TCPSocketActionArgs(port=port)
    return core.ProbeArgs(tcp_socket=action, period_seconds=period, timeout_seconds=3, failure_threshold=failures)


def exec_probe(command: Sequence[str], *, period: int = 10, failures: int = 3, timeout: int = 5) -> core.ProbeArgs:
    """Return a probe that runs a command in the container."""
    action = core.ExecActionArgs(command=list(command))
    return core.ProbeArgs(exec_=action, period_seconds=period, timeout_seconds=timeout, failure_threshold=failures)

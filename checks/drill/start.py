"""What must hold before a fault is injected: the stack is up, and this machine reaches it."""

import socket
from collections.abc import Mapping
from typing import Final, Protocol

from checks.drill.signs import wait
from contracts import endpoints
from contracts.errors import UserError
from contracts.services import GATEWAY, SERVICES

_WORKLOADS: Final = (*SERVICES, endpoints.KAFKA, endpoints.POSTGRES, endpoints.COLLECTOR, endpoints.PROMETHEUS)
_PORTS: Final = {
    GATEWAY: endpoints.SERVICE_PORT,
    endpoints.POSTGRES: endpoints.POSTGRES_PORT,
    endpoints.PROMETHEUS: endpoints.PROMETHEUS_PORT,
}
_CONNECT_SECONDS: Final = 3.0


class Cluster(Protocol):
    """What the look at a cluster needs of it."""

    def ready(self, name: str) -> list[object]:
        """Return the ready pods of a workload."""

    def address(self, service: str) -> str:
        """Return the address of a Service."""


def require_ready(cluster: Cluster, seconds: float = 60.0, ports: Mapping[str, int] = _PORTS) -> None:
    """Waits until each workload has a ready pod, and connects to what the drill itself uses.

    Args:
        cluster: of the local stack.
        seconds: time for the pods: a fault that was just undone leaves some that still start.
        ports: Service → port to which this machine must connect.

    Raises:
        UserError: a workload has no ready pod, or this machine does not reach one.
    """
    if wait(lambda: not missing(cluster), seconds) is None:
        raise UserError(f"the local stack is not up: {', '.join(missing(cluster))} has no ready pod. Run `make up`")
    for name, port in ports.items():
        address = cluster.address(name)
        try:
            socket.create_connection((address, port), _CONNECT_SECONDS).close()
        except OSError as error:
            raise UserError(
                f"this machine does not reach {name} at {address}:{port} ({error}). Run the drill on the machine, and "
                "in the network namespace, of the local cluster"
            ) from None


def missing(cluster: Cluster) -> list[str]:
    """The workloads that have no ready pod."""
    return [name for name in _WORKLOADS if not cluster.ready(name)]

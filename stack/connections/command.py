"""`wct connections`: prints which pods reach which dependencies."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stack.connections.cluster import Pods, services_without_pods, sources
from stack.connections.connections import SECONDS, Connection, connections
from stack.errors import DeployError
from stack.kubernetes.client import connect
from stack.settings import load_here


def show_connections(stack: str, console: Console) -> bool:
    """Prints the matrix of a stack; returns whether all connections were made.

    Raises:
        UserError: the cluster cannot be reached, or no service runs.
    """
    settings = load_here(stack)
    client, namespace = connect(settings.cluster), settings.cluster.namespace
    pods = sources(client, namespace)
    if not pods:
        raise DeployError(f"no pod of a service runs in namespace {namespace}")
    results = connections(pods, Pods(client, namespace).execute, services_without_pods(client, namespace))
    console.print(table(results))
    return all(result.is_ok for result in results)


def table(results: list[Connection]) -> Table:
    """The matrix; what failed is red."""
    rows = Table(title=f"TCP connections from each pod, at most {SECONDS:g} s each")
    for column in ("from", "to", "result", "ms"):
        rows.add_column(column, justify="right" if column == "ms" else "left", overflow="fold")
    for result in results:
        rows.add_row(
            result.pod,
            Text(result.address),  # the brackets of an IPv6 address are no markup
            Text(result.outcome, "green" if result.is_ok else "red"),
            "" if result.ms is None else f"{result.ms:.1f}",
        )
    return rows

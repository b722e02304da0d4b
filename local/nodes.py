"""The nodes of the cluster: their names, addresses and zones.

The control plane and the first node share this machine's network. Each further node has a network namespace of its own,
which one link joins to the machine. The machine forwards the packets between the nodes, like a data centre's router.
"""

from dataclasses import dataclass

from local.failure import Failure
from local.layout import MAX_NODES

ZONES = ("zone-a", "zone-b", "zone-c")


@dataclass(frozen=True)
class Node:
    """One node. `number` counts from 1."""

    number: int

    @property
    def name(self) -> str:
        """Name of the node in Kubernetes, and of its directory."""
        return f"node{self.number}"

    @property
    def subnet(self) -> str:
        """The addresses of its pods."""
        return f"10.244.{self.number - 1}.0/24"

    @property
    def address(self) -> str:
        """The node's own address: that of the bridge that its pods are on."""
        return f"10.244.{self.number - 1}.1"

    @property
    def zone(self) -> str:
        """The zone that its label names. Nodes are spread over the zones in turn."""
        return ZONES[(self.number - 1) % len(ZONES)]

    @property
    def has_namespace(self) -> bool:
        """Whether its network is a namespace of its own, instead of the machine's."""
        return self.number > 1

    @property
    def link(self) -> str:
        """Name, on the machine, of the link to the node's namespace."""
        return f"crawl-{self.name}"


CONTROL_PLANE = Node(1)
"""The node whose address is also that of API server and DNS."""


def first_nodes(count: int) -> tuple[Node, ...]:
    """The nodes of a cluster of `count` nodes."""
    return tuple(Node(number) for number in range(1, count + 1))


def node_named(name: str, nodes: tuple[Node, ...]) -> Node:
    """The node of that name.

    Raises:
        Failure: the cluster has no such node; the message lists those that it has.
    """
    for node in nodes:
        if node.name == name:
            return node
    raise Failure(f"there is no node {name!r}. Nodes: {', '.join(node.name for node in nodes) or 'none'}")


ALL_NODES = first_nodes(MAX_NODES)

"""A second stack on the cluster of `make up`: in a namespace of its own, and with the stores of the first one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import kubernetes

from checks.harness.admitted import admitted
from contracts.metadata import PROJECT
from stack.kubernetes.client import connect
from stack.settings import Settings, effective_config, load, parse
from tests.support.clone import Clone
from tests.support.local_stack import stores_of_the_local_stack

SMALL: Final = {"cpu": "50m"}
"""So that two stacks fit on two cores."""
SMALL_SECTIONS: Final[Mapping[str, Any]] = {
    "metrics": {**SMALL, "scrapeIntervalSeconds": 5},
    "collector": SMALL,
    "kafka": SMALL,
    "services": dict.fromkeys(("gateway", "taskManager", "crawler"), SMALL),
    "grafana": {"enabled": False},
}


def configuration(namespace: str, sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a stack with these sections, which go before those that it shares."""
    local = effective_config("local")
    shared = {
        "environment": "test",
        "cluster": {**local[f"{PROJECT}:cluster"], "namespace": namespace},
        "images": local[f"{PROJECT}:images"],
        **stores_of_the_local_stack(),
    }
    return {f"{PROJECT}:{key}": value for key, value in {**shared, **sections}.items()}


@contextmanager
def deployed(
    folder: Path, name: str, config: Mapping[str, Any], secrets: Mapping[str, str] | None = None
) -> Iterator[Settings]:
    """Deploy a stack as a user does, and remove it with its namespace.

    Args:
        folder: for a clone of the checkout.
        name: of the stack.
        config: of the stack, from `configuration`.
        secrets: by their keys.
    """
    settings, local = parse(dict(config), name), load("local").cluster
    namespace, client = settings.cluster.namespace, connect(local)
    clone = Clone.on_the_local_cluster(folder / "clone")
    clone.declare(name, config)
    neighbour = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    with admitted(client, local.namespace, namespace, neighbour):
        try:
            clone.run("make", "deploy", f"STACK={name}", secrets=secrets)
            yield settings
        finally:
            clone.run("./wct", "destroy", name, "--yes", "--delete-data")
    namespaces = kubernetes.client.CoreV1Api(client).list_namespace().items
    assert namespace not in {item.metadata.name for item in namespaces}

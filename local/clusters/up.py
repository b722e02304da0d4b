"""`make up` and `make down`: the stack `local` on the cluster that fits the machine and the user's wishes."""

import time

import kubernetes

from local import commands, stack
from local.cluster import Cluster
from local.clusters import containers, target
from local.clusters.choice import COMPILED, Choice, Request, choose, describe, look
from local.clusters.target import KUBECONFIG, Target
from local.failure import Failure
from local.preflight import require
from stack.kubernetes.client import REQUEST_SECONDS, connect
from stack.settings import load


def up(nodes: int | None = None, request: Request | None = None) -> None:
    """Brings everything up. Steps that are done are skipped.

    Args:
        nodes: number of nodes; by default as many as the cluster has, 1 for a new one.
        request: what the user asks for; everything is chosen by default.

    Raises:
        UserError: names what is wrong and what to do.
    """
    choice = choose(look(), request or Request())
    print(f"using {describe(choice.target)}: {choice.reason}", flush=True)
    if choice.name == COMPILED:
        _up_compiled(nodes)
    else:
        _up_elsewhere(nodes, choice)


def down() -> None:
    """Ends the cluster that `make up` made, and removes what it has put on the machine; keeps images.

    Raises:
        UserError: names what is wrong and what to do.
    """
    if chosen := target.read():
        containers.remove(chosen)
    else:
        commands.down()


def status() -> bool:
    """Prints what runs.

    Returns:
        Whether everything does.

    Raises:
        UserError: the cluster does not answer.
    """
    chosen = target.read()
    return commands.status() if chosen is None else _nodes_are_ready(chosen)


def _up_compiled(nodes: int | None) -> None:
    try:
        require(Cluster(), nodes)
    except Failure as failure:
        raise Failure(
            f"{failure}\nOr use another cluster: start Docker or Podman and install kind, or name a context of your "
            "kubeconfig (make up CONTEXT=…). `make doctor` shows what this machine has"
        ) from None
    stack.up(nodes)


def _up_elsewhere(nodes: int | None, choice: Choice) -> None:
    started = time.monotonic()
    containers.prepare(choice, nodes)
    stack.deploy_and_check()
    print(f"up after {time.monotonic() - started:.0f} s.", end=" ")
    stack.print_addresses(KUBECONFIG)


def _nodes_are_ready(chosen: Target) -> bool:
    print(f"the stack is on {describe(chosen)}")
    client = connect(load(stack.STACK).cluster)
    nodes = kubernetes.client.CoreV1Api(client).list_node(_request_timeout=REQUEST_SECONDS).items
    ready = {
        node.metadata.name: any(item.type == "Ready" and item.status == "True" for item in node.status.conditions)
        for node in nodes
    }
    for name, is_ready in ready.items():
        print(f"{name:16} {'ready' if is_ready else 'not ready'}")
    return all(ready.values())

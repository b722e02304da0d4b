"""Brings the stack up on a cluster that is not the compiled one: its nodes pull all images but the service's."""

import shutil
from collections.abc import Callable

from contracts.metadata import LOCAL_CONTEXT
from local.clusters import target
from local.clusters.choice import CONTEXT, Choice, describe
from local.clusters.engine import Engine, find_engine
from local.clusters.kubeconfig import copy_context, default_kubeconfig
from local.clusters.target import FOLDER, KUBECONFIG, Target
from local.clusters.tools import CLUSTER, TOOLS, Tool
from local.failure import Failure
from local.images.service import service_reference
from local.jobs import Job, Progress, run_jobs
from local.stack import STACK, write_overlay
from stack.errors import DeployError
from stack.kubernetes.client import connect
from stack.kubernetes.settings import Cluster
from stack.settings import PROJECT


def prepare(choice: Choice, nodes: int | None) -> None:
    """Makes the cluster, brings the service's image into it, and writes the settings that it adds to the stack `local`.

    Args:
        choice: the cluster.
        nodes: number of nodes; 1 by default, and as many as there are where the cluster is the user's.

    Raises:
        UserError: names what is wrong and what to do.
    """
    chosen = choice.target
    if chosen.cluster == CONTEXT and nodes:
        raise Failure(f"NODES does not change {describe(chosen)}: it has the nodes that it has")
    if chosen.cluster == CONTEXT:
        # Before the target is written: `make down` could not remove the stack from a cluster that does not answer.
        connect(Cluster(context=chosen.context, kubeconfig=default_kubeconfig()))
    target.write(chosen)
    reference = _reference(chosen)
    write_overlay({f"{PROJECT}:cluster": {"kubeconfig": str(KUBECONFIG)}, f"{PROJECT}:images": {"service": reference}})
    run_jobs(_jobs(chosen, reference, nodes or 1), logs=FOLDER / "logs")


def remove(chosen: Target) -> None:
    """Removes the cluster that `make up` made; from a cluster of the user, the stack, once the user types its name.

    Raises:
        UserError: the cluster cannot be removed; or it is the user's, and the stack cannot be removed from it.
    """
    if chosen.cluster == CONTEXT:
        if KUBECONFIG.exists():
            try:
                connect(Cluster(context=LOCAL_CONTEXT, kubeconfig=str(KUBECONFIG)))
            except DeployError as error:
                raise Failure(f"{error}. If that cluster no longer exists, `rm -r {FOLDER}` forgets it") from None
            from stack.deploy import destroy

            print(f"{describe(chosen)} is yours: this removes the stack from it, with all data", flush=True)
            destroy.run(STACK, yes=False, delete_data=True)
        shutil.rmtree(FOLDER)
        return
    tool = TOOLS[chosen.cluster](_engine())
    run_jobs([Job(chosen.cluster, lambda progress: tool.remove(progress, CLUSTER))], logs=FOLDER / "logs")
    shutil.rmtree(FOLDER)


def _reference(chosen: Target) -> str:
    if chosen.image:
        return chosen.image
    name = service_reference()
    return f"{chosen.registry.rstrip('/')}/{name.rpartition('/')[2]}" if chosen.registry else name


def _jobs(chosen: Target, reference: str, nodes: int) -> list[Job]:
    if chosen.cluster == CONTEXT:
        jobs = [Job("cluster", _writes(default_kubeconfig(), chosen.context))]
        if chosen.registry:
            engine = _engine()
            jobs += [
                Job("image/service", lambda progress: engine.build(progress, reference)),
                Job("push", lambda progress: engine.push(progress, reference), needs=("image/service",)),
            ]
        return jobs
    engine = _engine()
    tool = TOOLS[chosen.cluster](engine)
    return [
        Job("cluster", lambda progress: _start(progress, chosen.cluster, tool, nodes)),
        Job("image/service", lambda progress: engine.build(progress, reference)),
        Job("load", lambda progress: tool.load(progress, CLUSTER, reference), needs=("cluster", "image/service")),
    ]


def _start(progress: Progress, name: str, tool: Tool, nodes: int) -> None:
    own = FOLDER / f"{name}.kubeconfig"
    progress.step(f"starting a cluster of {name}; the first start pulls the image of a node")
    tool.start(progress, CLUSTER, nodes, own)
    _writes(str(own), tool.context(CLUSTER))(progress)


def _writes(kubeconfig: str, context: str) -> Callable[[Progress], None]:
    return lambda _: copy_context(kubeconfig, context, KUBECONFIG)


def _engine() -> Engine:
    if engine := find_engine():
        return engine
    raise Failure("neither Docker nor Podman answers; start it and run this again")

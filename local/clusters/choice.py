"""Which cluster `make up` uses. `choose` is a pure function of what the machine has and what the user asks for."""

import shutil
from dataclasses import dataclass
from typing import Final

from local.cluster import Cluster
from local.clusters import target
from local.clusters.engine import Engine, find_engine, silent_engines
from local.clusters.kubeconfig import contexts, default_kubeconfig
from local.clusters.target import Target
from local.clusters.tools import PAGES, TOOLS
from local.failure import Failure

COMPILED: Final = "compiled"
CONTEXT: Final = "context"
NAMES: Final = (*TOOLS, CONTEXT, COMPILED)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the machine has. The defaults describe a machine that has nothing."""

    engine: Engine | None = None
    silent: tuple[str, ...] = ()
    """Engines whose client is on PATH, but that do not answer."""
    tools: tuple[str, ...] = ()
    """Of `TOOLS`, those on PATH."""
    contexts: tuple[str, ...] = ()
    """Of the user's kubeconfig."""
    compiled: bool = False
    """Whether the compiled cluster was brought up and not ended."""
    target: Target | None = None
    """The cluster of this clone's last `make up`, if it was not the compiled one."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks for; empty where the user leaves the choice to the program."""

    cluster: str = ""
    context: str = ""
    image: str = ""
    """Reference of the service's image, which the cluster can pull."""
    registry: str = ""
    """Registry and path for the service's image; the program builds and pushes it."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The cluster, and the reason as it reads after "because"."""

    target: Target
    reason: str

    @property
    def name(self) -> str:
        """One of `NAMES`."""
        return self.target.cluster


def look() -> Machine:
    """Collects what the machine has; takes up to 20 s where an engine does not answer."""
    engine = find_engine()
    return Machine(
        engine=engine,
        silent=() if engine else tuple(silent_engines()),
        tools=tuple(name for name in TOOLS if shutil.which(name)),
        contexts=contexts(default_kubeconfig()),
        compiled=Cluster().was_up(),
        target=target.read(),
    )


def choose(machine: Machine, request: Request) -> Choice:
    """Chooses the cluster.

    In this order: what the user names; the cluster of the last `make up`; one of `TOOLS` where it is on PATH and a
    container engine answers; the compiled cluster.

    Raises:
        Failure: what the user asks for cannot be; the message says what to do.
    """
    name = request.cluster or (CONTEXT if request.context else "")
    _require_consistent(request, name)
    earlier = machine.target or (Target(cluster=COMPILED) if machine.compiled else None)
    if name:
        chosen = Target(cluster=name, context=request.context, image=request.image, registry=request.registry)
        if earlier and (earlier.cluster, earlier.context) == (chosen.cluster, chosen.context):
            if not (chosen.image or chosen.registry):
                chosen = earlier
        elif earlier:
            raise Failure(f"the stack is on {describe(earlier)}. `make down` ends it; then run this again")
        _require_possible(machine, chosen)
        return Choice(target=chosen, reason="you named it")
    if earlier:
        return Choice(target=earlier, reason="the last `make up` used it")
    if machine.engine:
        for tool in machine.tools:
            engine = f"{machine.engine.program} {machine.engine.version}"
            return Choice(target=Target(cluster=tool), reason=f"{tool} is on PATH and {engine} answers")
    return Choice(target=Target(cluster=COMPILED), reason=missing(machine))


def missing(machine: Machine) -> str:
    """Why no tool can run a cluster in containers here."""
    if machine.engine:
        return f"none of {', '.join(TOOLS)} is on PATH"
    if machine.silent:
        return f"{' and '.join(machine.silent)} is installed, but its engine does not answer"
    return "no container engine is installed"


def describe(target: Target) -> str:
    """The cluster in a few words, after a preposition."""
    if target.cluster == COMPILED:
        return "the compiled cluster"
    return f"context {target.context}" if target.cluster == CONTEXT else f"a cluster of {target.cluster}"


def _require_consistent(request: Request, name: str) -> None:
    if request.context and name != CONTEXT:
        raise Failure(f"CONTEXT={request.context} names a cluster, and CLUSTER={name} names another one; leave one out")
    if request.image and request.registry:
        raise Failure("IMAGE is an image that exists, REGISTRY is where a new one is pushed; leave one out")
    if (request.image or request.registry) and name != CONTEXT:
        raise Failure("IMAGE and REGISTRY belong to CONTEXT; any other cluster gets the image from this machine")


def _require_possible(machine: Machine, chosen: Target) -> None:
    if chosen.cluster == CONTEXT:
        known = ", ".join(machine.contexts) or "none"
        if not chosen.context:
            raise Failure(f"CLUSTER=context needs CONTEXT=…; the contexts of your kubeconfig: {known}")
        if chosen.context not in machine.contexts:
            raise Failure(f"there is no context {chosen.context!r}; the contexts of your kubeconfig: {known}")
        if not chosen.image and not chosen.registry:
            raise Failure(
                "the cluster needs the service's image: IMAGE=… names one that it can pull, "
                "REGISTRY=… names a registry to which `make up` pushes a new one"
            )
        if chosen.registry and not machine.engine:
            raise Failure(f"building the image needs Docker or Podman, and {missing(machine)}")
    elif chosen.cluster in TOOLS:
        if chosen.cluster not in machine.tools:
            raise Failure(f"{chosen.cluster} is not on PATH; {PAGES[chosen.cluster]} says how to install it")
        if not machine.engine:
            raise Failure(f"{chosen.cluster} needs Docker or Podman, and {missing(machine)}")

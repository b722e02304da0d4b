"""`make doctor`: what this machine has, which cluster `make up` would use, what is missing, and how long it takes."""

import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.cluster import Cluster
from local.clusters.choice import COMPILED, CONTEXT, Choice, Machine, Request, choose, describe, look, missing
from local.clusters.tools import TOOLS
from local.images.catalogue import CATALOGUE
from local.images.node import ImageRecord
from local.images.resolve import DEFAULT
from local.paths import existing, user_home
from local.preflight import GIB, Facts, problems
from local.preflight import look as look_at_machine
from stack.deploy.pulumi_cli import find_pulumi
from stack.errors import DeployError

if TYPE_CHECKING:
    from rich.console import Console

_WARM: Final = "about 1 minute: programs and images are on the disk"
_COLD: Final = "up to 8 minutes on 2 cores: it downloads and compiles everything that the disk lacks"


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What the machine has."""

    machine: Machine
    choice: Choice
    compiled: Facts
    problems: Sequence[str]
    """Of the compiled cluster."""
    to_make: Sequence[str]
    """Images that the node of the compiled cluster lacks."""
    engine: str
    """What deploys the stack."""


def examine(console: "Console", nodes: int | None = None) -> bool:
    """Prints what the machine has.

    Args:
        console: takes the table.
        nodes: number of nodes that `up` shall have.

    Returns:
        Whether nothing is missing for `make up`.
    """
    machine, cluster = look(), Cluster()
    facts = look_at_machine(cluster, nodes)
    images = ImageRecord(cluster.home)
    examination = Examination(
        machine=machine,
        choice=choose(machine, Request()),
        compiled=facts,
        problems=problems(facts),
        to_make=[name for name in required_images() if not images.get(CATALOGUE[name].reference())],
        engine=_deployment_engine(),
    )
    _print(console, examination)
    return examination.choice.name != COMPILED or not examination.problems


def required_images() -> list[str]:
    """The images without which the compiled cluster has no stack; `make up` makes those that its node lacks."""
    return [name for name in DEFAULT if not CATALOGUE[name].optional]


def _print(console: "Console", examination: Examination) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in rows(examination):
        table.add_row(f"[bold]{name}[/]", value)
    console.print(table)


def rows(examination: Examination) -> list[tuple[str, str]]:
    """The lines of the table."""
    machine = examination.machine
    engine = f"{machine.engine.program} {machine.engine.version} answers" if machine.engine else missing(machine)
    first = examination.choice.name == COMPILED
    return [
        ("machine", _machine(examination.compiled)),
        ("container engine", engine),
        ("kind, k3d, minikube", ", ".join(machine.tools) or "none of them is on PATH"),
        ("kube contexts", ", ".join(machine.contexts) or "none"),
        (
            "Go, Java, Maven",
            ", ".join(f"{name}: {shutil.which(name) or 'not on PATH'}" for name in ("go", "java", "mvn")),
        ),
        ("compiled cluster", _compiled(examination)),
        ("deploys through", examination.engine),
        ("make up", f"would use {describe(examination.choice.target)}: {examination.choice.reason}"),
        ("takes", duration(examination)),
        *([("missing", "\n".join(examination.problems))] if first and examination.problems else []),
        ("other ways", _other_ways(examination)),
    ]


def duration(examination: Examination) -> str:
    """How long `make up` takes, as far as it was measured."""
    if examination.choice.name == COMPILED:
        return _COLD if examination.compiled.to_build or examination.to_make else _WARM
    if examination.choice.name == CONTEXT:
        return "minutes at first: the cluster pulls the images of the stack"
    return f"minutes at first: {examination.choice.name} pulls the image of a node, the node those of the stack"


def _machine(facts: Facts) -> str:
    disk = shutil.disk_usage(existing(user_home())).free / GIB
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    user = "root" if facts.root else "without root"
    sizes = f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {disk:.0f} GiB free on the disk"
    return f"{platform.system()} {platform.machine()}, {sizes}, {user}"


def _compiled(examination: Examination) -> str:
    if examination.problems:
        return f"cannot run here yet: {len(examination.problems)} problem{'s' if len(examination.problems) > 1 else ''}"
    state = "is up" if examination.machine.compiled else "is down"
    built = "programs are to be compiled" if examination.compiled.to_build else "programs are compiled"
    images = f"images to make: {', '.join(examination.to_make)}" if examination.to_make else "images are made"
    return f"{state}; {built}; {images}"


def _other_ways(examination: Examination) -> str:
    ways = [f"make up CLUSTER={name}" for name in examination.machine.tools if examination.machine.engine]
    ways += [f"make up CONTEXT={name} IMAGE=…" for name in examination.machine.contexts]
    if not examination.problems:
        ways.append("make up CLUSTER=compiled")
    own = f"make up CLUSTER={examination.choice.name}"
    return ", ".join(way for way in ways if way != own) or _to_install(examination.machine) or "none"


def _to_install(machine: Machine) -> str:
    steps = [] if machine.engine else [f"start {machine.silent[0]}" if machine.silent else "install Docker or Podman"]
    return " and ".join([*steps, *([] if machine.tools else [f"install one of {', '.join(TOOLS)}"])])


def _deployment_engine() -> str:
    notes: list[str] = []
    try:
        pulumi = find_pulumi(notes.append)
    except DeployError as error:
        return str(error)
    return f"Pulumi {pulumi.version}" if pulumi else f"server-side apply ({'; '.join(notes)})"

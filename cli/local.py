"""Commands for this machine: the local stack, its cluster and its images."""

from pathlib import Path

import click
from click.exceptions import Exit

from cli.group import Command, LazyGroup, exit_on_termination
from cli.options import COUNT

nodes_option = click.option("--nodes", type=COUNT, help="Number of nodes (as many as there are; 1 at first).")


@click.command(cls=Command)
@nodes_option
@click.option(
    "--cluster",
    "name",
    type=click.Choice(["kind", "k3d", "minikube", "context", "compiled"]),
    help="Kind of the cluster (the one of the last `up`; else kind, k3d or minikube if it is on PATH and Docker or "
    "Podman answers; else compiled).",
)
@click.option("--context", default="", help="Use the cluster of this context of your kubeconfig.")
@click.option("--image", default="", help="With --context: the service's image, which that cluster can pull.")
@click.option("--registry", default="", help="With --context: build the service's image and push it to this registry.")
def up(nodes: int | None, name: str | None, context: str, image: str, registry: str) -> None:
    """Start a cluster, load the images, deploy the stack `local` and run the smoke check.

    The compiled cluster needs root on Linux and neither Docker nor a registry of images.
    """
    from local.clusters.choice import Request
    from local.clusters.up import up

    exit_on_termination()
    up(nodes, Request(cluster=name or "", context=context, image=image, registry=registry))


@click.command(cls=Command)
@click.option("--nodes", type=COUNT, help="Number of nodes that `up` shall have.")
def doctor(nodes: int | None) -> None:
    """Show what this machine has, which cluster `up` would use, what is missing, and how long it takes.

    Exit code 1 if something is missing.
    """
    from cli.options import console
    from local.clusters.doctor import examine

    raise Exit(0 if examine(console(120), nodes) else 1)


@click.command(cls=Command)
def down() -> None:
    """Stop the cluster that `up` started and remove what it created on this machine; images stay."""
    from local.clusters.up import down

    exit_on_termination()
    down()


@click.command(cls=Command)
def status() -> None:
    """Show the components of the local cluster; exit code 1 if one of them does not run."""
    from local.clusters.up import status

    raise Exit(0 if status() else 1)


@click.command(cls=Command, context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dev(arguments: tuple[str, ...]) -> None:
    """Run the three services in one process and draw their traces."""
    from service.dev.__main__ import main

    raise Exit(main(arguments, prog="wct dev"))


@click.group(
    cls=LazyGroup,
    commands_at={
        "up": "cli.local:cluster_up",
        "down": "cli.local:down",
        "status": "cli.local:status",
        "kubeconfig": "cli.local:kubeconfig",
        "logs": "cli.local:logs",
        "kubectl": "cli.local:kubectl",
        "node": "cli.local:node",
    },
)
def cluster() -> None:
    """Operate the compiled cluster: a real Kubernetes on this machine. It needs root."""


@click.command("up", cls=Command)
@nodes_option
def cluster_up(nodes: int | None) -> None:
    """Build what is missing and start the cluster; a broken cluster is repaired."""
    from local import commands

    exit_on_termination()
    commands.up(nodes)


@click.command(cls=Command)
def kubeconfig() -> None:
    """Print the path of the administrator's kubeconfig."""
    from local import commands

    commands.kubeconfig()


@click.command(cls=Command)
@click.argument("component")
@click.option("-f", "--follow", is_flag=True, help="Continue with new lines.")
@click.option("-n", "--lines", type=COUNT, default=50, help="Number of lines from the end (50).")
def logs(component: str, follow: bool, lines: int) -> None:
    """Show the log of COMPONENT: apiserver, controllers, dns, etcd, scheduler, or of a node containerd, kubelet, proxy.

    The name of a component of a node begins with that of the node: node1/kubelet. node1/policies is the log of the
    program that enforces NetworkPolicies.
    """
    from local import commands

    raise Exit(commands.logs(component, follow=follow, lines=lines))


@click.command(cls=Command, context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl(arguments: tuple[str, ...]) -> None:
    """Run kubectl on the local cluster."""
    from local import commands

    raise Exit(commands.kubectl(arguments))


@click.group(
    cls=LazyGroup,
    commands_at={
        "list": "cli.local:list_nodes",
        "kill": "cli.local:kill_node",
        "cut": "cli.local:cut_node",
        "heal": "cli.local:heal_node",
        "drain": "cli.local:drain_node",
        "start": "cli.local:start_node",
    },
)
def node() -> None:
    """Kill, disconnect or drain a node of the local cluster, and bring it back."""


@click.command("list", cls=Command)
def list_nodes() -> None:
    """List the nodes with their zones, addresses and states."""
    from local import commands

    commands.list_nodes()


@click.command("kill", cls=Command)
@click.argument("name")
def kill_node(name: str) -> None:
    """End every process of node NAME at once, as if the node had lost its power."""
    from local import commands

    commands.kill_node(name)


@click.command("cut", cls=Command)
@click.argument("name")
def cut_node(name: str) -> None:
    """Take node NAME off the network; its pods run on. The first node cannot be cut off."""
    from local import commands

    commands.cut_node(name)


@click.command("heal", cls=Command)
@click.argument("name")
def heal_node(name: str) -> None:
    """Give node NAME, which was cut off, its network back."""
    from local import commands

    commands.heal_node(name)


@click.command("drain", cls=Command)
@click.argument("name")
@click.option("--timeout", type=COUNT, default=300, help="Seconds until the eviction of the pods has to end (300).")
def drain_node(name: str, timeout: int) -> None:
    """Evict the pods of node NAME, as far as their disruption budgets allow, and admit no new pods."""
    from local import commands

    raise Exit(commands.drain_node(name, timeout))


@click.command("start", cls=Command)
@click.argument("name")
def start_node(name: str) -> None:
    """Bring back node NAME, which was killed, cut off or drained."""
    from local import commands

    exit_on_termination()
    commands.start_node(name)


@click.group(
    cls=LazyGroup,
    commands_at={
        "list": "cli.local:list_images",
        "digests": "cli.local:digests",
        "build": "cli.local:build_images",
        "load": "cli.local:load_images",
        "import": "cli.local:import_archives",
        "node": "cli.local:list_node_images",
    },
)
def images() -> None:
    """List, build and load the images of the local stack."""


@click.command("list", cls=Command)
def list_images() -> None:
    """Show each image and where it comes from."""
    from local.images import commands

    commands.list_images()


@click.command("build", cls=Command)
@click.argument("names", nargs=-1, required=True)
def build_images(names: tuple[str, ...]) -> None:
    """Build images without a cluster and keep them in the cache; `images list` has their NAMES."""
    from local.images import commands

    commands.build(names)


@click.command("digests", cls=Command)
@click.option("--check", "must_match", is_flag=True, help="Write nothing; exit with 1 if a registry has another image.")
def digests(must_match: bool) -> None:
    """Record the digests of the images that the stack pulls, in contracts/digests.json."""
    from local.images.digests import update, verify

    (verify if must_match else update)()


@click.command("load", cls=Command)
@click.argument("names", nargs=-1)
def load_images(names: tuple[str, ...]) -> None:
    """Load images into the running local cluster; without NAMES, all that the stack needs."""
    from local.images import commands

    commands.load(names)


@click.command("import", cls=Command)
@click.argument("archives", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, resolve_path=True))
def import_archives(archives: tuple[Path, ...]) -> None:
    """Import image archives into each node of the local cluster."""
    from local import commands

    commands.import_archives(archives)


@click.command("node", cls=Command)
def list_node_images() -> None:
    """List the images of the node."""
    from local import commands

    commands.list_node_images()

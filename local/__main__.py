"""python -m local: the local cluster from the command line."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from local.build import build_kubectl, cluster_jobs
from local.cluster import Cluster
from local.failure import Failure
from local.jobs import Job, Progress, run_jobs
from local.paths import HOME_VARIABLE
from local.preflight import require


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # so that child processes end with us
    try:
        return int(options.run(options) or 0)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="A real single-node Kubernetes on this machine, made from package registries alone.",
        epilog=f"Everything it makes is below ${HOME_VARIABLE} (default ~/.cache/web-crawl-tracing). It needs root.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("up", help="build what is missing and bring the cluster up; repairs a broken one")
    command.set_defaults(run=_up)
    command = commands.add_parser("down", help="end the cluster and everything it put on the machine; keeps images")
    command.set_defaults(run=_down)
    command = commands.add_parser("status", help="what runs; exit code 0 only if everything does")
    command.set_defaults(run=_status)
    command = commands.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    command.set_defaults(run=_kubeconfig)
    command = commands.add_parser("load", help="import image archives into the node")
    command.add_argument("archive", nargs="+", type=Path)
    command.set_defaults(run=_load)
    command = commands.add_parser("images", help="list the node's images")
    command.set_defaults(run=_images)
    command = commands.add_parser("logs", help="show a component's log")
    command.add_argument("component", help="apiserver, containerd, controllers, dns, etcd, kubelet, proxy or scheduler")
    command.add_argument("-f", "--follow", action="store_true", help="go on showing new lines")
    command.add_argument("-n", "--lines", type=int, default=50, help="how many lines from the end (default 50)")
    command.set_defaults(run=_logs)
    command = commands.add_parser("kubectl", help="run kubectl against the cluster", prefix_chars="\0", add_help=False)
    command.add_argument("arguments", nargs=argparse.REMAINDER)
    command.set_defaults(run=_kubectl)
    return parser


def _up(_: argparse.Namespace) -> None:
    cluster = Cluster()
    require(cluster)
    run_jobs(cluster_jobs(cluster.home))
    print(f"up: export KUBECONFIG={cluster.kubeconfig()}")


def _down(_: argparse.Namespace) -> None:
    if os.geteuid() != 0:
        raise Failure("ending the cluster needs root. Run this with sudo.")
    cluster = Cluster()
    run_jobs([Job("down", cluster.down)], logs=cluster.home.logs)


def _status(_: argparse.Namespace) -> int:
    status = Cluster().status()
    for component, state in status.components.items():
        print(f"{component:12} {state}")
    print(f"{'API':12} {'ready' if status.api_ready else 'not ready'}")
    print(f"{'node':12} {'ready' if status.node_ready else 'not ready'}")
    return 0 if status.is_up else 1


def _kubeconfig(_: argparse.Namespace) -> None:
    print(Cluster().kubeconfig())


def _load(options: argparse.Namespace) -> None:
    cluster = Cluster()
    for archive in options.archive:
        if not archive.is_file():
            raise Failure(f"there is no file {archive}")
        cluster.load_image(Progress("load", logs=cluster.home.logs), archive)
        print(f"loaded {archive}")


def _images(_: argparse.Namespace) -> None:
    print("\n".join(Cluster().list_images()))


def _logs(options: argparse.Namespace) -> int:
    log = Cluster().log(options.component)
    return subprocess.call(
        ["tail", f"--lines={options.lines}", *(["--follow=name"] if options.follow else []), str(log)]
    )


def _kubectl(options: argparse.Namespace) -> int:
    cluster = Cluster()
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig())}
    program = shutil.which("kubectl")
    if not program:
        build_kubectl(Progress("kubectl", logs=cluster.home.logs), cluster.home.bin)
        program = str(cluster.home.bin / "kubectl")
    return subprocess.call([program, *options.arguments], env=environment)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

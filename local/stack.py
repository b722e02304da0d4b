"""`make up`: cluster and images side by side, the stack `local` deployed onto it, and the proof that it works."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from local.build import cluster_jobs
from local.cluster import Cluster
from local.failure import Failure
from local.images.resolve import Resolved, describe, image_jobs, read_outcome
from local.jobs import run_jobs
from local.preflight import require
from stack import endpoints
from stack.settings import OVERLAY, PROJECT, ROOT, SettingsError, load

STACK = "local"


def overlay(images: Mapping[str, Resolved], kubeconfig: Path) -> dict[str, Any]:
    """What the local stack's settings become on this machine: the image that was built, and what stands in for what
    cannot be had."""
    config: dict[str, Any] = {
        f"{PROJECT}:cluster": {"kubeconfig": str(kubeconfig)},
        f"{PROJECT}:images": {"service": images["service"].reference},
    }
    if not images["tempo"].available:
        config[f"{PROJECT}:traces"] = {"backend": "jaeger"}
    if not images["grafana"].available:
        config[f"{PROJECT}:grafana"] = {"enabled": False}
    return config


def up() -> None:
    """Brings everything up; does nothing that is done already.

    Raises:
        Failure: names what is wrong and what to do.
    """
    started = time.monotonic()
    try:
        load(STACK)
    except SettingsError as error:
        raise Failure(str(error)) from None
    cluster = Cluster()
    require(cluster)
    run_jobs([*cluster_jobs(cluster.home), *image_jobs(cluster.home)], logs=cluster.home.logs)
    images = read_outcome()
    print(describe(images))
    document = {"config": overlay(images, cluster.kubeconfig())}
    path = ROOT / OVERLAY
    path.parent.mkdir(exist_ok=True)
    path.write_text("# Written by `make up`: what this machine has, and what stands in.\n" + yaml.safe_dump(document))
    _run("stack.deploy", STACK)
    _run("tests.smoke", "--stack", STACK)
    print(f"up after {time.monotonic() - started:.0f} s. `export KUBECONFIG={cluster.kubeconfig()}`, then")
    settings = load(STACK)  # with what was just written
    addresses = [
        (endpoints.GATEWAY, endpoints.SERVICE_PORT),
        (endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT),
        endpoints.TRACE_QUERY[settings.traces.backend],
        *([(endpoints.GRAFANA, endpoints.GRAFANA_PORT)] if settings.grafana.enabled else []),
    ]
    for name, port in addresses:
        print(f"  kubectl -n {settings.cluster.namespace} port-forward svc/{name} {port}   # http://localhost:{port}")


def _run(module: str, *arguments: str) -> None:
    if subprocess.call([sys.executable, "-m", module, *arguments], cwd=ROOT) != 0:
        raise Failure(f"{module} failed; what it says is above. Run `make up` again once that is mended")


def main() -> None:
    try:
        up()
    except Failure as failure:
        sys.exit(f"error: {failure}")
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command again to go on from here")


if __name__ == "__main__":
    main()

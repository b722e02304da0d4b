"""Brings the compiled cluster and the images up in parallel, then the stack `local`, then runs the smoke check."""

import importlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from contracts import endpoints
from contracts.services import GATEWAY
from local.build import cluster_jobs
from local.cluster import Cluster
from local.failure import Failure
from local.images.resolve import DEFAULT, Resolved, describe, image_jobs, left_for_later, read_outcome
from local.jobs import Job, Progress, run_jobs
from stack.settings import OVERLAY, PROJECT, ROOT, SettingsError, load, parse, stack_file

STACK = "local"


def overlay(images: Mapping[str, Resolved], kubeconfig: Path) -> dict[str, Any]:
    """The settings that this machine adds to the stack `local`.

    They name the kubeconfig and the service's image, and replace or turn off components whose image is unavailable.
    """
    config: dict[str, Any] = {
        f"{PROJECT}:cluster": {"kubeconfig": str(kubeconfig)},
        f"{PROJECT}:images": {"service": images["service"].reference},
    }
    if not images["tempo"].available:
        config[f"{PROJECT}:traces"] = {"backend": "jaeger"}
    if "loki" in images and not images["loki"].available:
        config[f"{PROJECT}:logs"] = {"enabled": False}
    if "alertmanager" in images and not images["alertmanager"].available:
        config[f"{PROJECT}:alerting"] = {"enabled": False}
    if not images["grafana"].available:
        config[f"{PROJECT}:grafana"] = {"enabled": False}
    return config


def up(nodes: int | None = None) -> None:
    """Brings everything up. Steps that are done are skipped.

    Alertmanager and Loki take minutes to build, and no other component needs them. So they come last, when the stack
    is up.

    Args:
        nodes: number of nodes; by default as many as the cluster has.

    Raises:
        Failure: names what is wrong and what to do.
    """
    started = time.monotonic()
    try:
        load(STACK)
    except SettingsError as error:
        raise Failure(str(error)) from None
    cluster = Cluster()
    left = left_for_later(_bring_up(cluster, nodes, patient=False))
    print(f"up after {time.monotonic() - started:.0f} s.", end=" ")
    print_addresses(cluster.home.kubeconfig)
    if not left:
        return
    names = ", ".join(left)
    print(f"building {names} now; the stack is up without it, and stays up if you press Ctrl-C", flush=True)
    try:
        _bring_up(cluster, nodes, patient=True)
    except Failure as failure:
        raise Failure(f"{failure}\nThe stack was up without {names} before this") from failure
    print(f"complete after {time.monotonic() - started:.0f} s.", end=" ")
    print_addresses(cluster.home.kubeconfig)


def _bring_up(cluster: Cluster, nodes: int | None, *, patient: bool) -> Mapping[str, Resolved]:
    """Makes the cluster and the images, deploys, and checks. Without `patient`, it skips images that build slowly."""
    images = prepare(cluster, nodes, patient=patient)
    deploy_and_check()
    return images


def deploy_and_check() -> None:
    """Deploys the stack, and runs the smoke check.

    Raises:
        UserError: names what is wrong and what to do.
    """
    from stack.deploy import deployment
    from stack.smoke.command import smoke

    deployment.run(STACK)
    smoke(STACK)


def import_program(_: Progress) -> None:
    """A job: imports the program and what deploys it, which takes more than a second, while other jobs wait."""
    for module in ("stack.program", "stack.deploy.deployment", "stack.smoke.command"):
        importlib.import_module(module)


def prepare(cluster: Cluster, nodes: int | None, *, patient: bool = True) -> Mapping[str, Resolved]:
    """Makes the cluster and the images, and writes the settings that this machine adds to stacks on it.

    Args:
        cluster: which is brought up.
        nodes: number of nodes; by default as many as the cluster has.
        patient: whether images that build slowly are made, too.

    Raises:
        Failure: names what is wrong and what to do.
    """
    jobs = image_jobs(cluster.home, names=_wanted(), patient=patient)
    program = Job("program", import_program)
    run_jobs([*cluster_jobs(cluster.home, nodes), *jobs, program], logs=cluster.home.logs)
    images = read_outcome()
    print(describe(images), flush=True)
    write_overlay(overlay(images, cluster.kubeconfig()))
    return images


def write_overlay(config: Mapping[str, Any]) -> None:
    """Writes the settings that this machine adds to stacks on its cluster."""
    path = ROOT / OVERLAY
    path.parent.mkdir(exist_ok=True)
    document = yaml.safe_dump({"config": dict(config)})
    path.write_text("# Written by `make up`: the settings that this machine adds.\n" + document)


def _wanted() -> list[str]:
    """The images that the stack file asks for, without the settings that an earlier `up` added."""
    file = stack_file(STACK)
    settings = parse(yaml.safe_load(file.read_text())["config"], file.name)
    unwanted = {
        *(() if settings.logs.enabled else ("loki",)),
        *(() if settings.alerting.enabled else ("alertmanager",)),
    }
    return [name for name in DEFAULT if name not in unwanted]


def print_addresses(kubeconfig: Path) -> None:
    """Prints the commands that lead to the pages of the stack."""
    print(f"`export KUBECONFIG={kubeconfig}`, then")
    settings = load(STACK)  # with the overlay that was just written
    addresses = [
        (GATEWAY, endpoints.SERVICE_PORT),
        (endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT),
        *([(endpoints.ALERTMANAGER, endpoints.ALERTMANAGER_PORT)] if settings.alerting.enabled else []),
        endpoints.TRACE_QUERY[settings.traces.backend],
        *([(endpoints.LOKI, endpoints.LOKI_PORT)] if settings.logs.enabled else []),
        *([(endpoints.GRAFANA, endpoints.GRAFANA_PORT)] if settings.grafana.built else []),
    ]
    for name, port in addresses:
        print(f"  kubectl -n {settings.cluster.namespace} port-forward svc/{name} {port}   # http://localhost:{port}")

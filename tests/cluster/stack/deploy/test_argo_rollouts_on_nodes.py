"""Argo Rollouts on nodes, where its controller is on PATH: its pods and our Jobs on the local stack, under load."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import kubernetes
import pytest

from checks.chaos.cluster import LocalCluster
from checks.harness.traffic import Traffic
from checks.rollouts.command import restore_stack
from checks.rollouts.scenario import changed_settings
from checks.rollouts.versions import build
from contracts import endpoints
from contracts.metadata import Manifest
from contracts.services import GATEWAY, SERVICES
from local.jobs import Progress
from stack.deploy.argo_rollouts import ANALYSIS, API_VERSION, with_rollouts
from stack.deploy.render import render
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import load
from tests.support.argo_rollouts import rollouts_controller
from tests.support.foreign_kinds import apply_strictly

pytestmark = pytest.mark.nightly

_RATE: Final = 20.0
_ROLLOUT: Final = {
    "stages": [{"share": 0.5, "soakSeconds": 20}, {"share": 1}],
    "gate": {"errorMargin": 0.02, "patienceSeconds": 240},
}
_LIMIT_SECONDS: Final = 420.0
_GROUP, _VERSION = API_VERSION.split("/")


class Rollouts:
    """The services of the local stack as Rollouts."""

    def __init__(self) -> None:
        settings = load("local")
        self.namespace = settings.cluster.namespace
        self.client = connect(settings.cluster)
        self._apps = kubernetes.client.AppsV1Api(self.client)
        self._custom = kubernetes.client.CustomObjectsApi(self.client)

    def apply(self, **sections: Any) -> None:
        """Applies the objects that `./wct render local --argo-rollouts` has and a stack with Deployments has not."""
        with changed_settings(rollout=_ROLLOUT, **sections) as settings:
            manifests = render("local")
            known = {(item["kind"], item["metadata"]["name"]) for item in manifests}
            added = [
                item
                for item in with_rollouts(manifests, settings)
                if (item["kind"], item["metadata"]["name"]) not in known
            ]
        apply_strictly(self.client, self.namespace, added)

    def delete_deployments(self) -> None:
        for name in SERVICES:
            self._apps.delete_namespaced_deployment(name, self.namespace)

    def status(self, service: str) -> dict[str, Any]:
        rollout = self._custom.get_namespaced_custom_object(_GROUP, _VERSION, self.namespace, "rollouts", service)
        is_current = rollout.get("status", {}).get("observedGeneration") == str(rollout["metadata"]["generation"])
        return rollout["status"] if is_current else {}

    def phases(self) -> dict[str, str]:
        return {name: self.status(name).get("phase", "") for name in SERVICES}

    def wait_for(self, phase: str, services: tuple[str, ...] = tuple(SERVICES)) -> None:
        poll_until(
            f"the Rollouts of {', '.join(services)} to be {phase}",
            lambda: {self.phases()[name] for name in services} == {phase},
            seconds=_LIMIT_SECONDS,
            every=1,
        )

    def analyses(self, service: str) -> list[Manifest]:
        """The analyses of a service's Rollout, the oldest first."""
        runs = self._custom.list_namespaced_custom_object(_GROUP, _VERSION, self.namespace, "analysisruns")["items"]
        own = [item for item in runs if item["metadata"]["ownerReferences"][0]["name"] == service]
        return sorted(own, key=lambda item: item["metadata"]["creationTimestamp"])

    def images(self, service: str) -> set[str]:
        """The images of a service's pods."""
        core = kubernetes.client.CoreV1Api(self.client)
        selector = f"app.kubernetes.io/name={service}"
        pods = core.list_namespaced_pod(self.namespace, label_selector=selector).items
        return {pod.spec.containers[0].image for pod in pods if pod.metadata.deletion_timestamp is None}


@contextmanager
def traffic(rollouts: Rollouts) -> Iterator[Traffic]:
    cluster = LocalCluster(load("local"))
    gateway = f"http://{cluster.address(GATEWAY)}:{endpoints.SERVICE_PORT}"
    with Traffic(gateway, _RATE, keep=False, key=cluster.stack_key()) as requests:
        yield requests
    assert sum(requests.answers.values()) > _RATE


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollouts]:
    deployed = Rollouts()
    directory, kubeconfig = tmp_path_factory.mktemp("argo-rollouts"), load("local").cluster.kubeconfig
    with rollouts_controller(deployed.client, str(kubeconfig), directory):
        try:
            deployed.apply()
            deployed.wait_for("Healthy")
            deployed.delete_deployments()
            yield deployed
        finally:
            restore_stack()
            delete_added(deployed)


def delete_added(rollouts: Rollouts) -> None:
    """The Rollouts go with their kind; what else was added goes here."""
    core, networking = (
        api(rollouts.client) for api in (kubernetes.client.CoreV1Api, kubernetes.client.NetworkingV1Api)
    )
    for service in SERVICES:
        core.delete_namespaced_service(endpoints.pods(endpoints.track(service, "canary")), rollouts.namespace)
    for name in (ANALYSIS, f"{ANALYSIS}-to-{endpoints.PROMETHEUS}"):
        networking.delete_namespaced_network_policy(name, rollouts.namespace)


def test_a_good_version_goes_through_and_no_request_fails(rollouts: Rollouts) -> None:
    image = build("good", Progress("good"))
    with traffic(rollouts) as requests:
        rollouts.apply(images={"service": image})
        rollouts.wait_for("Healthy")
    assert not requests.failures
    for service in SERVICES:
        assert rollouts.images(service) == {image}
        assert [item["status"]["phase"] for item in rollouts.analyses(service)] == ["Successful"]


def test_a_version_that_fails_goes_back(rollouts: Rollouts) -> None:
    previous = rollouts.images(GATEWAY)
    with traffic(rollouts):
        rollouts.apply(images={"service": build("errors", Progress("errors"))})
        rollouts.wait_for("Degraded", (GATEWAY,))
    assert rollouts.status(GATEWAY)["abort"] is True
    assert rollouts.analyses(GATEWAY)[-1]["status"]["phase"] == "Failed"
    poll_until("the previous version alone", lambda: rollouts.images(GATEWAY) == previous, seconds=60)

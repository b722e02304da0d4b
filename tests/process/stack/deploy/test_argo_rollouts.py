"""Argo Rollouts, where its controller is on PATH: it goes on and back by the verdicts of our Jobs.

There are no nodes. The test runs the command of a Job, and reports how it ended.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import kubernetes
import pytest

from contracts import metadata, service_metrics
from contracts.metadata import Manifest
from contracts.services import GATEWAY
from stack.deploy.argo_rollouts import API_VERSION, with_rollouts
from stack.polling import poll_until
from stack.settings import PROJECT, ROOT, effective_config, parse
from tests.support.api_server import ApiServer, running
from tests.support.argo_rollouts import rollouts_controller
from tests.support.foreign_kinds import apply_strictly, create_namespace
from tests.support.http_server import Request, Response, http_server
from tests.support.program import dev_with
from tests.support.programs import require_program

_IMAGE: Final = "registry.example.com/web-crawl-service"
_STAGES: Final = [{"share": 0.25, "soakSeconds": 10}, {"share": 0.5, "soakSeconds": 10}, {"share": 1}]
_WAIT_SECONDS: Final = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    directory = tmp_path_factory.mktemp("argo-rollouts")
    require_program("rollouts-controller")  # before an API server is started
    (directory / "kubernetes").mkdir()
    with (
        running(directory / "kubernetes") as started,
        rollouts_controller(started.client, started.kubeconfig, directory),
    ):
        yield started


class Deployed:
    """The gateway of a stack as a Rollout."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self._server = server
        self._namespace = namespace
        self._custom = kubernetes.client.CustomObjectsApi(server.client)
        self._batch = kubernetes.client.BatchV1Api(server.client)
        create_namespace(server.client, namespace)

    def apply(self, version: str) -> None:
        """Applies the manifests with a version of the image, as Argo CD would."""
        sections: dict[str, Any] = {"images": {"service": f"{_IMAGE}:{version}"}, "rollout": {"stages": _STAGES}}
        settings = parse(
            effective_config("dev") | {f"{PROJECT}:{key}": value for key, value in sections.items()}, "dev"
        )
        objects = with_rollouts(list(dev_with(**sections).values()), settings)
        requested = [
            self._here(item)
            for item in objects
            if item["kind"] == "AnalysisTemplate" or (item["kind"], item["metadata"]["name"]) == ("Rollout", GATEWAY)
        ]
        apply_strictly(self._server.client, self._namespace, requested)

    def _here(self, manifest: Manifest) -> Manifest:
        return {**manifest, "metadata": {**manifest["metadata"], "namespace": self._namespace}}

    @property
    def status(self) -> dict[str, Any]:
        group, version = API_VERSION.split("/")
        rollout = self._custom.get_namespaced_custom_object(group, version, self._namespace, "rollouts", GATEWAY)
        status: dict[str, Any] = rollout.get("status", {})
        return status

    def wait_for_phase(self, phase: str) -> None:
        poll_until(f"the rollout to be {phase}", lambda: self.status.get("phase") == phase, seconds=_WAIT_SECONDS)

    def pods(self) -> set[tuple[str, str]]:
        """Track and version of the pods."""
        core = kubernetes.client.CoreV1Api(self._server.client)
        return {
            (
                pod.metadata.labels.get(metadata.TRACK, ""),
                pod.spec.containers[0].image.rpartition(":")[2],
            )
            for pod in core.list_namespaced_pod(
                self._namespace, label_selector=f"app.kubernetes.io/name={GATEWAY}"
            ).items
            if pod.metadata.deletion_timestamp is None
        }

    def run_job(self, prometheus: str) -> str:
        """Runs the command of the next Job of an analysis, and reports its end; returns what it printed."""
        job = poll_until("the Job of an analysis", self._next_job, seconds=_WAIT_SECONDS)
        (container,) = job.spec.template.spec.containers
        (variable,) = container.env
        analysis = json.loads(variable.value) | {"prometheus": prometheus}
        result = subprocess.run(
            [sys.executable, *container.command[1:]],
            env={**os.environ, variable.name: json.dumps(analysis)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        self._batch.patch_namespaced_job_status(
            job.metadata.name, self._namespace, {"status": _ended(succeeded=result.returncode == 0)}
        )
        return result.stdout + result.stderr

    def _next_job(self) -> Any:
        jobs = self._batch.list_namespaced_job(self._namespace).items
        return next((job for job in jobs if not job.status.conditions), None)


def _ended(*, succeeded: bool) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kinds = ("SuccessCriteriaMet", "Complete") if succeeded else ("FailureTarget", "Failed")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds]
    return {
        "startTime": now,
        "conditions": conditions,
        **({"completionTime": now, "succeeded": 1} if succeeded else {"failed": 1}),
    }


def prometheus_with(failures: float) -> Any:
    """A Prometheus whose counters of the gateway grow by 50 requests/s for each version."""
    started = time.monotonic()

    def answer(request: Request) -> Response:
        query = parse_qs(urlsplit(request.path).query)["query"][0]
        requests = math.floor(50 * (time.monotonic() - started))
        result = []
        for track, share in (("canary", failures), ("stable", 0.0)):
            labels = {"job": GATEWAY, "track": track}
            if service_metrics.HTTP_DURATION in query:
                result += [({**labels, "le": edge}, requests) for edge in ("0.01", "0.025", "0.1", "+Inf")]
            elif service_metrics.HTTP_REQUESTS in query:
                result.append((labels, math.floor(requests * share) if "5.." in query else requests))
            elif "tracing_items" in query and track == "canary":
                names = ("tracing_items_ended_total", "tracing_items_exported_total")
                result += [({"__name__": name}, requests) for name in names]
        vector = [{"metric": labels, "value": [time.time(), str(value)]} for labels, value in result]
        return Response(body=json.dumps({"status": "success", "data": {"resultType": "vector", "result": vector}}))

    return http_server(answer)


def test_a_good_version_goes_through_the_stages_and_becomes_the_stable_one(server: ApiServer) -> None:
    deployed = Deployed(server, "good")
    deployed.apply("1")
    deployed.wait_for_phase("Healthy")
    assert deployed.pods() == {("stable", "1")}
    deployed.apply("2")
    with prometheus_with(failures=0) as prometheus:
        for _ in range(2):
            printed = deployed.run_job(prometheus)
            assert "Successful" in printed, printed
    deployed.wait_for_phase("Healthy")
    poll_until(
        "the pods of version 2 to be stable", lambda: deployed.pods() == {("stable", "2")}, seconds=_WAIT_SECONDS
    )


def test_a_bad_version_goes_back(server: ApiServer) -> None:
    deployed = Deployed(server, "bad")
    deployed.apply("1")
    deployed.wait_for_phase("Healthy")
    deployed.apply("2")
    with prometheus_with(failures=0.2) as prometheus:
        poll_until(
            "both versions",
            lambda: deployed.pods() == {("stable", "1"), ("canary", "2")},
            seconds=_WAIT_SECONDS,
        )
        printed = deployed.run_job(prometheus)
    assert "errors, gateway, requests" in printed
    deployed.wait_for_phase("Degraded")
    assert deployed.status["abort"] is True
    poll_until("version 1 alone", lambda: deployed.pods() == {("stable", "1")}, seconds=_WAIT_SECONDS)

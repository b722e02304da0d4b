"""A Kubernetes for tests: etcd, API server and controllers, without nodes.

`Reports` writes what kubelets and a storage driver would report, so that a deployment does not wait for them: pods that
are ready, claims that are bound and resized.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes
import yaml

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess
from contracts.metadata import LOCAL_CONTEXT
from local import pki
from tests.support.programs import require_built

_CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "horizontal-pod-autoscaler-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "disruption-controller",
    "resourcequota-controller",
)


@dataclass
class Reports:
    """Writes the status that kubelets and a storage driver would write."""

    client: kubernetes.client.ApiClient
    resizes: bool = True
    """Whether claims get the size that they ask for."""
    unready: set[str] = field(default_factory=set)
    """Names of the pods that do not become ready."""
    _end: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join(10)

    def _run(self) -> None:
        core = kubernetes.client.CoreV1Api(self.client)
        while not self._end.wait(0.1):
            with contextlib.suppress(kubernetes.client.ApiException):
                self._look(core)

    def _look(self, core: Any) -> None:
        for claim in _items(core.list_persistent_volume_claim_for_all_namespaces):
            asked = claim["spec"]["resources"]["requests"]["storage"]
            bound = claim["status"]["phase"] == "Bound"
            if bound and claim["status"].get("capacity", {}).get("storage") == asked:
                continue
            status: dict[str, Any] = {"phase": "Bound"}
            if not bound or self.resizes:
                status["capacity"] = {"storage": asked}
            core.patch_namespaced_persistent_volume_claim_status(*_name(claim), {"status": status})
        for pod in _items(core.list_pod_for_all_namespaces):
            # No kubelet confirms the end of a pod here.
            if "deletionTimestamp" in pod["metadata"]:
                core.delete_namespaced_pod(*_name(pod), grace_period_seconds=0)
            elif pod["metadata"]["name"] not in self.unready and pod["status"]["phase"] != "Running":
                ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "Initialized")]
                core.patch_namespaced_pod_status(*_name(pod), {"status": {"phase": "Running", "conditions": ready}})


def _items(list_all: Callable[..., Any]) -> list[dict[str, Any]]:
    """Plain objects: the client's own take a hundred times as long to make."""
    items: list[dict[str, Any]] = json.loads(list_all(_preload_content=False).data)["items"]
    return items


def _name(item: dict[str, Any]) -> tuple[str, str]:
    return item["metadata"]["name"], item["metadata"]["namespace"]


@dataclass(frozen=True, kw_only=True)
class ApiServer:
    """A running API server."""

    client: kubernetes.client.ApiClient
    kubeconfig: Path
    reports: Reports

    def storage_class(self, name: str, *, grows: bool) -> str:
        """Creates a StorageClass whose volumes can be enlarged, if `grows`."""
        kubernetes.client.StorageV1Api(self.client).create_storage_class(
            {"metadata": {"name": name}, "provisioner": "example.com/disk", "allowVolumeExpansion": grows}
        )
        return name


@contextlib.contextmanager
def running(directory: Path) -> Iterator[ApiServer]:
    """Starts an API server with its data in `directory`; it is ready within about 5 s."""
    binary = require_built("kubernetes")
    keys, port = directory / "pki", free_port()
    pki.create(keys)
    etcd = f"unix://{directory}/etcd.sock"
    kubeconfig = directory / "kubeconfig"
    document = yaml.safe_load(pki.kubeconfig(keys, "admin"))
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    kubeconfig.write_text(yaml.safe_dump(document))
    unused = "http://localhost"
    commands = [
        [
            *("etcd", f"--data-dir={directory}/etcd", f"--listen-client-urls={etcd}", "--unsafe-no-fsync"),
            *(f"--advertise-client-urls={unused}:2379", f"--listen-peer-urls=unix://{directory}/peer.sock"),
            *(f"--initial-advertise-peer-urls={unused}:2380", f"--initial-cluster=default={unused}:2380"),
            "--log-level=warn",
        ],
        [
            *("kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}"),
            *("--advertise-address=192.0.2.1", f"--tls-cert-file={keys}/apiserver.crt"),
            *(f"--tls-private-key-file={keys}/apiserver.key", f"--client-ca-file={keys}/ca.crt"),
            *("--authorization-mode=RBAC", f"--service-account-key-file={keys}/sa.pub"),
            *(f"--service-account-signing-key-file={keys}/sa.key", "--service-cluster-ip-range=10.96.0.0/16"),
            # The advertised address may not be a loopback address; no client uses it. Pods need no ServiceAccount here.
            *("--service-account-issuer=https://kubernetes.default.svc", "--disable-admission-plugins=ServiceAccount"),
            "--profiling=false",
        ],
        [
            *("kube-controller-manager", f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--profiling=false"),
            *(f"--secure-port={free_port()}", "--bind-address=127.0.0.1", f"--controllers={','.join(_CONTROLLERS)}"),
            "--horizontal-pod-autoscaler-sync-period=1s",
        ],
    ]
    client = kubernetes.config.new_client_from_config(str(kubeconfig), context=LOCAL_CONTEXT)

    def is_ready() -> bool:
        try:
            kubernetes.client.CoreV1Api(client).read_namespace("kube-system", _request_timeout=2)
        except Exception:  # the client raises many kinds while the server starts
            return False
        return True

    with contextlib.ExitStack() as stack:
        for command in commands:
            check = is_ready if command[0] == "kube-apiserver" else lambda: True
            process = ServerProcess(command[0], [binary, *command], directory, check)
            stack.callback(process.kill)  # its data goes with it
            process.start()
        reports = Reports(client)
        stack.enter_context(reports.running())
        yield ApiServer(client=client, kubeconfig=kubeconfig, reports=reports)

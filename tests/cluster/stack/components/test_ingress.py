"""The routes from outside of the cluster, served by Traefik where it is on PATH, to the gateway and to Grafana."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import kubernetes
import pytest

from checks.harness.certificates import self_signed
from checks.harness.ports import free_port
from contracts import endpoints, http
from contracts.metadata import AUTHORITY, Manifest
from contracts.services import GATEWAY
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import load
from tests.support.encrypted_services import deploy_step, restored_steps
from tests.support.foreign_kinds import apply_strictly, installed_kinds
from tests.support.program import dev_with
from tests.support.programs import require_program
from tests.support.traefik import request, traefik

SETTINGS = load("local")
_TASKS: Final = "tasks.example.com"
_GRAFANA: Final = "grafana.example.com"
_SECRET: Final = "outside-test"
_ANNOTATIONS: Final = tuple(
    f"traefik.ingress.kubernetes.io/service.{name}" for name in ("serversscheme", "serverstransport")
)
_PROVIDERS: Final = {"Ingress": "kubernetesingress", "HTTPRoute": "kubernetesgateway"}
"""Way to the stack → Traefik's name for it."""
_SERVICES: Final = (GATEWAY, *((endpoints.GRAFANA,) if SETTINGS.grafana.built else ()))
_OPEN: Final[dict[str, Any]] = {
    "taskApi": {"host": _TASKS, "reason": "Customers submit their tasks here"},
    "grafana": {"reason": "On-call engineers work here"},
}


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A client outside of the cluster, and the port of the controller."""

    port: int
    certificates: ssl.SSLContext

    def request(self, method: str, host: str, path: str, server: str = "", **options: Any) -> httpx.Response:
        """Send a request to a host; the certificate of the server, by default of the host, is verified."""
        return request(self.port, self.certificates, method, host, path, server, **options)


def _secrets(directory: Path) -> tuple[list[Manifest], ssl.SSLContext]:
    """Return the Secrets with the certificates, and what trusts them."""
    context, made = ssl.create_default_context(), []
    for host in (_TASKS, _GRAFANA):
        key, certificate = self_signed(host)
        (directory / host).write_bytes(certificate)
        context.load_verify_locations(directory / host)
        data = {"tls.crt": certificate.decode(), "tls.key": key.decode()}
        metadata = {"name": _name(host)}
        made.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": metadata,
                "type": "kubernetes.io/tls",
                "stringData": data,
            }
        )
    return made, context


def _name(host: str) -> str:
    return f"{_SECRET}-{host.partition('.')[0]}"


def _gateway(port: int) -> list[Manifest]:
    """Return the Gateway of others, with a listener that ends TLS."""
    listener = {
        "name": "https",
        "port": port,
        "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": _name(host)} for host in (_TASKS, _GRAFANA)]},
    }
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": "traefik"},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "public"},
            "spec": {"gatewayClassName": "traefik", "listeners": [listener]},
        },
    ]


def _servers_transport(name: str) -> Manifest:
    """Return the object with which Traefik knows whose certificate a Service has; stack/README.md describes it."""
    return {
        "apiVersion": "traefik.io/v1alpha1",
        "kind": "ServersTransport",
        "metadata": {"name": name},
        "spec": {"serverName": name, "rootCAs": [{"configMap": AUTHORITY}]},
    }


@contextmanager
def _annotated(client: kubernetes.client.ApiClient, namespace: str, name: str) -> Iterator[None]:
    """Give a Service of the stack the annotations of `ingress.serviceAnnotations` while the context is open."""
    core = kubernetes.client.CoreV1Api(client)
    scheme, transport = _ANNOTATIONS
    annotations = {scheme: "https", transport: f"{namespace}-{name}@kubernetescrd"}
    core.patch_namespaced_service(name, namespace, {"metadata": {"annotations": annotations}})
    try:
        yield
    finally:
        core.patch_namespaced_service(name, namespace, {"metadata": {"annotations": dict.fromkeys(annotations)}})


def _routes(way: str, *, encrypted: bool) -> list[Manifest]:
    """Return what the stack declares; of two hosts, each Ingress has its own certificate."""
    namespace = SETTINGS.cluster.namespace
    annotations = {"serviceAnnotations": dict.fromkeys(_ANNOTATIONS, "https")} if encrypted else {}
    ways: dict[str, dict[str, Any]] = {
        "Ingress": {"tls": {"secret": "replaced"}, **annotations},
        "HTTPRoute": {"api": "HTTPRoute", "gateway": {"name": "public", "namespace": namespace, "section": "https"}},
    }
    opened = {**_OPEN, "grafana": {**_OPEN["grafana"], **(annotations if way == "Ingress" else {})}}
    objects = dev_with(
        grafana={"url": f"https://{_GRAFANA}"},
        ingress={**opened, **ways[way]},
        encryption={"services": encrypted},
    )
    made = [item for (kind, _), item in objects.items() if kind in (way, "BackendTLSPolicy")]
    assert len(made) == (4 if encrypted and way == "HTTPRoute" else 2)
    for item in made:
        item["metadata"] = {**item["metadata"], "namespace": namespace}
        if way == "Ingress":
            (entry,) = item["spec"]["tls"]
            entry["secretName"] = _name(entry["hosts"][0])
    return made


@pytest.fixture(
    scope="module", params=[False, pytest.param(True, marks=pytest.mark.nightly)], ids=["clear", "encrypted"]
)
def encrypted(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the pods of the stack take TLS alone."""
    if not request.param:
        yield False
        return
    require_program("traefik")
    with restored_steps():
        for value in ("accepted", "preferred", True):
            deploy_step(value)
        yield True


@pytest.fixture(params=[*_PROVIDERS])
def outside(request: pytest.FixtureRequest, tmp_path: Path, encrypted: bool) -> Iterator[Outside]:
    require_program("traefik")
    port = free_port()
    client, namespace = connect(SETTINGS.cluster), SETTINGS.cluster.namespace
    secrets, certificates = _secrets(tmp_path)
    way = request.param
    groups = {"gateway.networking.k8s.io"} if way == "HTTPRoute" else {"traefik.io"} if encrypted else set()
    manifests = [*secrets, *_routes(way, encrypted=encrypted)]
    if way == "HTTPRoute":
        manifests += _gateway(port)
    elif encrypted:
        manifests += [_servers_transport(name) for name in _SERVICES]
    with ExitStack() as made:
        made.enter_context(installed_kinds(client, groups))
        made.enter_context(_applied(client, namespace, manifests))
        if encrypted and way == "Ingress":
            for name in _SERVICES:
                made.enter_context(_annotated(client, namespace, name))
        providers = [_PROVIDERS[way], *(["kubernetescrd"] if "traefik.io" in groups else [])]
        made.enter_context(traefik(tmp_path, SETTINGS.cluster.kubeconfig or "", providers, port))
        yield Outside(port=port, certificates=certificates)


@contextmanager
def _applied(client: kubernetes.client.ApiClient, namespace: str, manifests: list[Manifest]) -> Iterator[None]:
    """Create objects, and delete them in the end."""
    dynamic = kubernetes.dynamic.DynamicClient(client)
    try:
        apply_strictly(client, namespace, manifests)
        yield
    finally:
        for item in reversed(manifests):
            resource = dynamic.resources.get(api_version=item["apiVersion"], kind=item["kind"])
            dynamic.delete(resource, name=item["metadata"]["name"], namespace=namespace)


def test_the_task_api_is_reached_and_nothing_else_of_the_gateway(outside: Outside) -> None:
    body = {"user_email": "outside@example.com", "user_query": "?", "base_url": "http://gateway:8080/demo"}

    def is_accepted() -> bool:
        return outside.request("POST", _TASKS, http.TASKS, json=body).status_code == httpx.codes.ACCEPTED

    poll_until("the route", is_accepted, seconds=60, every=0.5)
    task = outside.request("POST", _TASKS, http.TASKS, json=body).json()
    path = f"{http.TASKS}/{task['id']}"
    poll_until("the task", lambda: outside.request("GET", _TASKS, path).is_success, seconds=60, every=0.5)
    for path in (http.METRICS, http.READY, http.LIVE, http.DEMO, "/"):
        assert outside.request("GET", _TASKS, path).status_code == httpx.codes.NOT_FOUND, path
    other = outside.request("GET", "other.example.com", http.TASKS, server=_TASKS)
    assert other.status_code == httpx.codes.NOT_FOUND


def test_grafana_is_reached(outside: Outside) -> None:
    if not SETTINGS.grafana.built:
        pytest.skip("the local stack has no Grafana")
    poll_until("the route", lambda: outside.request("GET", _GRAFANA, "/api/health").is_success, seconds=60, every=0.5)
    assert "Grafana" in outside.request("GET", _GRAFANA, "/login").text

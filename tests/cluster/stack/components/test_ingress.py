"""The routes from outside of the cluster, served by Traefik where it is on PATH, to the gateway and to Grafana."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import kubernetes
import pytest

from checks.harness.certificates import self_signed
from checks.harness.ports import free_port
from contracts import http
from contracts.metadata import Manifest
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import load
from tests.support.foreign_kinds import apply_strictly, installed_kinds
from tests.support.program import dev_with
from tests.support.programs import require_program
from tests.support.traefik import request, traefik

SETTINGS = load("local")
_TASKS: Final = "tasks.example.com"
_GRAFANA: Final = "grafana.example.com"
_SECRET: Final = "outside-test"
_OPEN: Final = {
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


def _routes(way: str) -> list[Manifest]:
    """Return what the stack declares; of two hosts, each Ingress has its own certificate."""
    namespace = SETTINGS.cluster.namespace
    ways: dict[str, dict[str, Any]] = {
        "Ingress": {"tls": {"secret": "replaced"}},
        "HTTPRoute": {"api": "HTTPRoute", "gateway": {"name": "public", "namespace": namespace, "section": "https"}},
    }
    objects = dev_with(grafana={"url": f"https://{_GRAFANA}"}, ingress={**_OPEN, **ways[way]})
    made = [item for (kind, _), item in objects.items() if kind == way]
    assert len(made) == 2
    for item in made:
        item["metadata"] = {**item["metadata"], "namespace": namespace}
        if way == "Ingress":
            (entry,) = item["spec"]["tls"]
            entry["secretName"] = _name(entry["hosts"][0])
    return made


@pytest.fixture(params=["Ingress", "HTTPRoute"])
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outside]:
    require_program("traefik")
    port = free_port()
    client, namespace = connect(SETTINGS.cluster), SETTINGS.cluster.namespace
    secrets, certificates = _secrets(tmp_path)
    manifests = [*secrets, *(_gateway(port) if request.param == "HTTPRoute" else []), *_routes(request.param)]
    provider = {"Ingress": "kubernetesingress", "HTTPRoute": "kubernetesgateway"}[request.param]
    with installed_kinds(client, {"gateway.networking.k8s.io"} if request.param == "HTTPRoute" else set()):
        dynamic = kubernetes.dynamic.DynamicClient(client)
        try:
            apply_strictly(client, namespace, manifests)
            with traefik(tmp_path, SETTINGS.cluster.kubeconfig or "", provider, port):
                yield Outside(port=port, certificates=certificates)
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

"""What is reached from outside of the cluster: nothing, unless the settings name it with a reason."""

from typing import Any

import kubernetes_validate
import pytest

from contracts import versions
from contracts.metadata import PUBLIC, Manifest
from tests.support.configuration import refusal
from tests.support.program import dev_with, rendered

REASON = "Customers submit their tasks here"
TLS = {"clusterIssuer": "letsencrypt"}
API = {"host": "tasks.example.com", "reason": REASON}
GATEWAY = {"name": "public", "namespace": "gateways", "section": "https"}
GRAFANA = {"url": "https://example.com/grafana"}


def objects(**ingress: Any) -> dict[str, Manifest]:
    """The objects of the ingress, by name; the rest of the stack is that of dev."""
    manifests = dev_with(grafana=GRAFANA, ingress=ingress)
    for (kind, _), manifest in manifests.items():
        if kind == "Ingress":
            kubernetes_validate.validate(manifest, versions.KUBERNETES[-1], strict=True)
    return {name: item for (kind, name), item in manifests.items() if kind in ("Ingress", "HTTPRoute")}


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_nothing_is_open_by_default(stack: str) -> None:
    assert not [item for item in rendered(stack) if item["kind"] in ("Ingress", "HTTPRoute")]


def test_an_ingress_opens_the_task_api_alone_and_grafana_below_its_url() -> None:
    routes = objects(tls=TLS, className="nginx", taskApi=API, grafana={"reason": REASON})
    rules = {name: item["spec"]["rules"] for name, item in routes.items()}
    assert rules == {
        name: [
            {
                "host": host,
                "http": {
                    "paths": [
                        {
                            "path": path,
                            "pathType": "Prefix",
                            "backend": {"service": {"name": name, "port": {"number": port}}},
                        }
                    ]
                },
            }
        ]
        for name, host, path, port in (
            ("gateway", "tasks.example.com", "/api/tasks", 8080),
            ("grafana", "example.com", "/grafana", 3000),
        )
    }
    assert {item["spec"]["ingressClassName"] for item in routes.values()} == {"nginx"}
    assert {item["metadata"]["annotations"][PUBLIC] for item in routes.values()} == {REASON}


@pytest.mark.parametrize(
    ("tls", "expected", "annotations"),
    [
        ({"secret": "own"}, [{"hosts": ["tasks.example.com"], "secretName": "own"}], {}),
        (
            {"issuer": "ca"},
            [{"hosts": ["tasks.example.com"], "secretName": "gateway-tls"}],
            {"cert-manager.io/issuer": "ca"},
        ),
        (
            TLS,
            [{"hosts": ["tasks.example.com"], "secretName": "gateway-tls"}],
            {"cert-manager.io/cluster-issuer": "letsencrypt"},
        ),
        ({"beforeIngress": True}, None, {}),
    ],
    ids=["secret", "issuer", "cluster issuer", "before"],
)
def test_the_certificate_is_yours_or_that_of_cert_manager(tls: Any, expected: Any, annotations: Any) -> None:
    gateway = objects(tls=tls, taskApi=API)["gateway"]
    assert gateway["spec"].get("tls") == expected
    annotated = gateway["metadata"]["annotations"]
    assert {key: value for key, value in annotated.items() if key.startswith("cert-manager.io/")} == annotations


def test_an_http_route_is_attached_to_the_listener_of_a_gateway() -> None:
    route = objects(api="HTTPRoute", gateway=GATEWAY, taskApi=API)["gateway"]
    assert (route["apiVersion"], route["kind"]) == ("gateway.networking.k8s.io/v1", "HTTPRoute")
    assert route["spec"] == {
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["tasks.example.com"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/api/tasks"}}],
                "backendRefs": [{"name": "gateway", "port": 8080}],
            }
        ],
    }


def test_annotations_configure_the_controller() -> None:
    annotations = {"nginx.ingress.kubernetes.io/auth-url": "https://auth.example.com"}
    gateway = objects(tls=TLS, taskApi=API, annotations=annotations)["gateway"]
    annotated = gateway["metadata"]["annotations"]
    assert annotated["nginx.ingress.kubernetes.io/auth-url"] == "https://auth.example.com"
    assert annotated[PUBLIC] == REASON


@pytest.mark.parametrize(
    ("ingress", "parts"),
    [
        ({"tls": TLS}, ["ingress: opens nothing: set taskApi, grafana, or both"]),
        ({"taskApi": API}, ["ingress: an Ingress needs tls"]),
        ({"taskApi": API, "tls": {}}, ["ingress.tls: needs exactly one of secret, issuer"]),
        ({"taskApi": API, "tls": {**TLS, "secret": "own"}}, ["ingress.tls: needs exactly one of secret, issuer"]),
        ({"taskApi": {"host": "tasks.example.com"}, "tls": TLS}, ["ingress.taskApi.reason: missing"]),
        ({"taskApi": {**API, "reason": "so"}, "tls": TLS}, ["ingress.taskApi.reason", "at least 10 characters"]),
        ({"taskApi": {**API, "host": "https://x"}, "tls": TLS}, ["ingress.taskApi.host"]),
        ({"taskApi": API, "tls": TLS, "annotations": {PUBLIC: "because"}}, [f"annotations: {PUBLIC} is set by reason"]),
        ({"taskApi": API, "api": "HTTPRoute"}, ["ingress: an HTTPRoute needs gateway"]),
        ({"taskApi": API, "api": "HTTPRoute", "gateway": GATEWAY, "tls": TLS}, ["tls and className belong to api"]),
        ({"taskApi": API, "tls": TLS, "gateway": GATEWAY}, ["ingress: gateway belongs to api HTTPRoute"]),
        ({"grafana": {"reason": REASON}, "tls": TLS}, ["ingress.grafana needs grafana.url: an https URL"]),
    ],
)
def test_a_way_in_that_cannot_work_or_has_no_reason_is_refused(ingress: Any, parts: list[str]) -> None:
    message = refusal(ingress=ingress)
    for part in parts:
        assert part in message

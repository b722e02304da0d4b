"""Opens the task API and Grafana to clients outside of the cluster, as an Ingress or an HTTPRoute each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, http
from contracts.metadata import AUTHORITY, PUBLIC, SKIP_AWAIT
from contracts.services import GATEWAY
from stack.components.ingress.settings import Ingress as IngressSettings
from stack.components.shared.object_meta import object_meta

networking = k8s.networking.v1
_COMPONENT: Final = "ingress"


@dataclass(frozen=True, kw_only=True)
class Route:
    """A host and a path, and the Service that answers there."""

    name: str
    """Of the object."""
    host: str
    path: str
    """Requests whose path begins with these elements."""
    service: str
    port: int
    reason: str
    """Why it is open."""


@dataclass(frozen=True, kw_only=True)
class IngressArgs:
    namespace: pulumi.Input[str]
    settings: IngressSettings
    grafana_url: str
    """URL of Grafana for people."""
    encrypted: bool
    """Whether the gateway and Grafana take connections with TLS."""


class Ingress(pulumi.ComponentResource):
    """The way in from outside of the cluster."""

    hosts: pulumi.Output[list[str]]

    def __init__(self, name: str, args: IngressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Ingress", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        routes = list(_routes(args))
        create = _ingress if args.settings.api == "Ingress" else _http_route
        for route in routes:
            create(route, args, child)
            if args.encrypted and args.settings.api == "HTTPRoute":
                _backend_tls(route, args, child)
        self.hosts = pulumi.Output.from_input([route.host for route in routes])
        self.register_outputs({"hosts": self.hosts})


def _routes(args: IngressArgs) -> Iterator[Route]:
    settings = args.settings
    if api := settings.task_api:
        yield Route(
            name=GATEWAY,
            host=api.host,
            path=http.TASKS,
            service=GATEWAY,
            port=endpoints.SERVICE_PORT,
            reason=api.reason,
        )
    if settings.grafana:
        url = urlsplit(args.grafana_url)
        yield Route(
            name=endpoints.GRAFANA,
            host=url.hostname or "",
            path=url.path or "/",
            service=endpoints.GRAFANA,
            port=endpoints.GRAFANA_PORT,
            reason=settings.grafana.reason,
        )


def _metadata(route: Route, args: IngressArgs, **annotations: str) -> k8s.meta.v1.ObjectMetaArgs:
    # A controller may need minutes for the address, and the stack works without it.
    all_annotations = {**SKIP_AWAIT, **annotations, **args.settings.annotations, PUBLIC: route.reason}
    return object_meta(route.name, args.namespace, component=_COMPONENT, annotations=all_annotations)


def _ingress(route: Route, args: IngressArgs, opts: pulumi.ResourceOptions) -> None:
    tls = args.settings.tls
    assert tls is not None
    issuers = {"cert-manager.io/issuer": tls.issuer, "cert-manager.io/cluster-issuer": tls.cluster_issuer}
    backend = networking.IngressBackendArgs(
        service=networking.IngressServiceBackendArgs(
            name=route.service, port=networking.ServiceBackendPortArgs(number=route.port)
        )
    )
    path = networking.HTTPIngressPathArgs(path=route.path, path_type="Prefix", backend=backend)
    networking.Ingress(
        route.name,
        metadata=_metadata(route, args, **{key: value for key, value in issuers.items() if value}),
        spec=networking.IngressSpecArgs(
            ingress_class_name=args.settings.class_name,
            rules=[networking.IngressRuleArgs(host=route.host, http=networking.HTTPIngressRuleValueArgs(paths=[path]))],
            tls=None
            if tls.before_ingress
            else [networking.IngressTLSArgs(hosts=[route.host], secret_name=tls.secret or f"{route.name}-tls")],
        ),
        opts=opts,
    )


def _http_route(route: Route, args: IngressArgs, opts: pulumi.ResourceOptions) -> None:
    listener = args.settings.gateway
    assert listener is not None
    parent = {"name": listener.name, "namespace": listener.namespace}
    if listener.section:
        parent["sectionName"] = listener.section
    k8s.apiextensions.CustomResource(
        route.name,
        api_version="gateway.networking.k8s.io/v1",
        kind="HTTPRoute",
        metadata=_metadata(route, args),
        spec={
            "parentRefs": [parent],
            "hostnames": [route.host],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": route.path}}],
                    "backendRefs": [{"name": route.service, "port": route.port}],
                }
            ],
        },
        opts=opts,
    )


def _backend_tls(route: Route, args: IngressArgs, opts: pulumi.ResourceOptions) -> None:
    """Tell the Gateway that a Service has TLS, and whose certificate it has."""
    name = f"{route.service}-tls"
    k8s.apiextensions.CustomResource(
        name,
        api_version="gateway.networking.k8s.io/v1",
        kind="BackendTLSPolicy",
        metadata=object_meta(name, args.namespace, component=_COMPONENT, annotations=SKIP_AWAIT),
        spec={
            "targetRefs": [{"group": "", "kind": "Service", "name": route.service}],
            "validation": {
                "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": AUTHORITY}],
                "hostname": route.service,
            },
        },
        opts=opts,
    )

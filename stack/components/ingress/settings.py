"""The section `ingress` of the settings."""

from collections.abc import Collection, Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from contracts.metadata import PUBLIC
from contracts.section import Annotations, DnsLabel, DnsName, Section

Reason = Annotated[str, Field(min_length=10, max_length=300, examples=["Customers submit tasks here"])]
"""Why a part of the stack is reached from outside of the cluster: an annotation of the object that opens it."""


_SET_BY_SETTINGS: Final = {
    "cert-manager.io/issuer": "tls.issuer; with HTTPRoute, cert-manager reads it from your Gateway",
    "cert-manager.io/cluster-issuer": "tls.clusterIssuer; with HTTPRoute, cert-manager reads it from your Gateway",
    PUBLIC: "reason",
}
"""Annotation → the setting that takes its place."""


_NGINX: Final = "nginx.ingress.kubernetes.io/backend-protocol"
_TRAEFIK: Final = "traefik.ingress.kubernetes.io/service.serversscheme"
_TO_TLS: Final = (_NGINX, _TRAEFIK)
"""Annotations with the protocol by which NGINX and Traefik connect to what an Ingress leads to."""
_WITH_TLS: Final = ("https", "grpcs")
"""Values of these, in lower case."""
_IN_CLEAR: Final = ("http", "h2c", "grpc", "fcgi")
"""Others, in lower case. `AUTO_HTTP` of NGINX is neither: it connects as the client does."""


class Tls(Section):
    """How an Ingress gets its certificate: exactly one of these."""

    secret: DnsName | None = None
    """Name of a Secret of type `kubernetes.io/tls` in the stack's namespace, which you create."""
    issuer: DnsName | None = None
    """Name of cert-manager's Issuer in the stack's namespace."""
    cluster_issuer: DnsName | None = None
    """Name of cert-manager's ClusterIssuer."""
    before_ingress: bool = False
    """If on, a load balancer before the Ingress ends TLS, and the Ingress takes plain HTTP."""

    @model_validator(mode="after")
    def _check_exactly_one(self) -> Self:
        chosen = [self.secret, self.issuer, self.cluster_issuer, self.before_ingress or None]
        if sum(item is not None for item in chosen) != 1:
            raise ValueError("needs exactly one of secret, issuer, clusterIssuer and beforeIngress")
        return self


class Listener(Section):
    """The Gateway of the Gateway API to which the routes are attached; it ends TLS."""

    name: DnsLabel
    """Name of the Gateway."""
    namespace: DnsLabel
    """Its namespace. The listener must allow routes from the namespace of the stack (`allowedRoutes`)."""
    section: DnsName | None = None
    """Name of its listener, such as `https`. All listeners of the Gateway if unset, those without TLS included."""


def _check_is_a_name(host: str) -> str:
    if host.rpartition(".")[2].isdigit():
        raise ValueError("is an address; an Ingress and an HTTPRoute need a host name")
    return host


class TaskApi(Section):
    """The paths below `/api/tasks` of the gateway. Health, metrics and the demo page stay inside of the cluster."""

    host: Annotated[DnsName, AfterValidator(_check_is_a_name)]
    """Host name under which clients reach it."""
    reason: Reason


class GrafanaIngress(Section):
    """Grafana, under the host and the path of `grafana.url`."""

    reason: Reason
    service_annotations: Annotations = Field(default_factory=dict)
    """Annotations of Grafana's Service, which some controllers read."""


class Ingress(Section):
    """What is reached from outside of the cluster; nothing is by default."""

    api: Literal["Ingress", "HTTPRoute"] = "Ingress"
    """The kind of object: `Ingress`, or `HTTPRoute` of the Gateway API."""
    class_name: DnsName | None = None
    """`ingressClassName` of an Ingress; the cluster's default class if unset."""
    annotations: Annotations = Field(default_factory=dict)
    """Further annotations, with which you configure your controller."""
    service_annotations: Annotations = Field(default_factory=dict)
    """Annotations of the gateway's Service, which some controllers read."""
    tls: Tls | None = None
    """Needed by an Ingress."""
    gateway: Listener | None = None
    """Needed by an HTTPRoute."""
    task_api: TaskApi | None = None
    """The task API. Its callers need an API key or a token, unless `access` is turned off."""
    grafana: GrafanaIngress | None = None

    @property
    def _places(self) -> dict[str, Annotations]:
        """Setting → annotations."""
        return {
            "annotations": self.annotations,
            "serviceAnnotations": self.service_annotations,
            "grafana.serviceAnnotations": self.grafana.service_annotations if self.grafana else {},
        }

    @property
    def missing_annotations(self) -> tuple[str, ...]:
        """Settings of which each could tell the controller of an Ingress that what it leads to has TLS; none does."""
        if self.api != "Ingress" or self.annotations:
            return ()
        has_none = {
            "serviceAnnotations": self.task_api and not self.service_annotations,
            "grafana.serviceAnnotations": self.grafana and not self.grafana.service_annotations,
        }
        return tuple(f"ingress.{name}" for name, is_missing in has_none.items() if is_missing)

    @property
    def annotations_with_tls(self) -> tuple[str, ...]:
        """Settings, with the annotation, by which NGINX or Traefik connects with TLS to what an Ingress leads to."""
        return tuple(f"ingress.{place}: {name}" for place, name, _ in self._connecting(_WITH_TLS))

    @property
    def annotations_in_clear(self) -> tuple[str, ...]:
        """Settings, with the annotation and its value, by which NGINX or Traefik connects in clear."""
        return tuple(f"ingress.{place}: {name}: {value}" for place, name, value in self._connecting(_IN_CLEAR))

    def _connecting(self, values: Collection[str]) -> Iterator[tuple[str, str, str]]:
        """Yield setting, annotation and value of each with which an Ingress connects in one of the ways."""
        if self.api != "Ingress":
            return
        for place, annotations in self._places.items():
            for name, value in annotations.items():
                if name in _TO_TLS and value.lower() in values:
                    yield place, name, value

    @model_validator(mode="after")
    def _check_annotations(self) -> Self:
        for name in self.annotations:
            if name in _SET_BY_SETTINGS:
                raise ValueError(f"annotations: {name} is set by {_SET_BY_SETTINGS[name]}")
        return self

    @model_validator(mode="after")
    def _check_places_of_annotations(self) -> Self:
        if self.api != "Ingress":
            return self
        for place, annotations in self._places.items():
            if place == "annotations" and _TRAEFIK in annotations:
                raise ValueError(
                    f"{place}: Traefik reads {_TRAEFIK} of a Service alone: set serviceAnnotations, and "
                    "grafana.serviceAnnotations"
                )
            if place != "annotations" and _NGINX in annotations:
                raise ValueError(f"{place}: NGINX reads {_NGINX} of an Ingress alone: set annotations")
        return self

    @model_validator(mode="after")
    def _check_api(self) -> Self:
        if not (self.task_api or self.grafana):
            raise ValueError("opens nothing: set taskApi, grafana, or both")
        if self.api == "Ingress":
            if self.tls is None:
                raise ValueError("an Ingress needs tls: secret, issuer, clusterIssuer or beforeIngress")
            if self.gateway:
                raise ValueError("gateway belongs to api HTTPRoute; this is an Ingress")
        else:
            if self.gateway is None:
                raise ValueError("an HTTPRoute needs gateway: the name and namespace of your Gateway")
            if self.tls or self.class_name:
                raise ValueError("tls and className belong to api Ingress; the listener of the Gateway ends TLS")
        return self

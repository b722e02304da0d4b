"""The settings of a store of telemetry that the stack did not build."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from contracts import endpoints
from contracts.addresses import BaseAddress
from contracts.section import Section
from stack.components.shared.settings import Pem


def _check_header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError("the name of a header has letters, digits, `-` and `_` only")
    return name


def _check_header_value(value: str) -> str:
    # The Collectors and Grafana replace what begins with `$` by a variable.
    if not value.isascii() or not value.isprintable() or "$" in value or value != value.strip():
        raise ValueError("the value of a header has printable ASCII characters without `$`, and no space at an end")
    return value


_HeaderName = Annotated[str, AfterValidator(_check_header_name)]
_HeaderValue = Annotated[str, AfterValidator(_check_header_value)]


class Store(Section):
    """A store that the stack did not build: what requests to it send and trust."""

    ca: Pem | None = None
    """Authority that signed the store's certificates, as PEM; the public ones if unset."""
    headers: dict[_HeaderName, _HeaderValue] = Field(default_factory=dict, examples=[{"X-Scope-OrgID": "tracing"}])
    """Sent with each request, also to the receiver, without secrets."""
    authorize_queries: bool = False
    """If on, a secret is the header `Authorization` to the query API: `tracesQueryAuthorization`,
    `logsQueryAuthorization`, `metricsQueryAuthorization`."""


class QueriedStore(Store):
    """A store that the stack did not build: the API that is queried."""

    query_url: BaseAddress
    """Base URL of the store's query API. The cluster and the machines that run the checks must reach it."""

    @model_validator(mode="after")
    def _check_queries_are_encrypted(self) -> Self:
        require_encryption(self.query_url, on=self.authorize_queries, name="authorizeQueries")
        return self


class ExternalStore(Store):
    """A store of traces or logs that the stack did not build: an OTLP receiver, and the API that is queried, if any."""

    otlp_url: BaseAddress
    """Receiver of OTLP, such as `https://otlp.example.com:4317`; for HTTP without `/v1/traces` or `/v1/logs`."""
    query_url: BaseAddress | None = None
    """Base URL of the store's query API. The cluster and the machines that run the checks must reach it. If unset, the
    store only receives: Grafana has no datasource, panels and links for it, and the checks say what they skip."""
    protocol: Literal["grpc", "http"] = "grpc"
    """Of the receiver."""
    authorize: bool = False
    """If on, a secret is the header `receiverHeader` to the receiver: `tracesAuthorization`, `logsAuthorization`."""
    receiver_header: _HeaderName = "Authorization"
    """Name of that header. Some vendors have one of their own, such as `api-key`."""

    @model_validator(mode="after")
    def _check_queries_are_encrypted(self) -> Self:
        if self.query_url is not None:
            require_encryption(self.query_url, on=self.authorize_queries, name="authorizeQueries")
        elif self.authorize_queries:
            raise ValueError("authorizeQueries is not used: queryUrl is not set, so nothing queries the store")
        return self

    @model_validator(mode="after")
    def _check_spans_are_encrypted(self) -> Self:
        require_encryption(self.otlp_url, on=self.authorize, name="authorize")
        return self

    @model_validator(mode="after")
    def _check_receiver_header(self) -> Self:
        if "receiver_header" in self.model_fields_set and not self.authorize:
            raise ValueError(f"receiverHeader {self.receiver_header} is not used: authorize is off")
        if self.authorize and self.receiver_header.lower() in map(str.lower, self.headers):
            raise ValueError(f"headers: {self.receiver_header} is the header with the secret")
        return self

    @model_validator(mode="after")
    def _check_receiver(self) -> Self:
        path = urlsplit(self.otlp_url).path
        if self.protocol == "grpc" and path:
            raise ValueError(f"otlpUrl: OTLP over gRPC has no path, such as {path}; set protocol: http, or remove it")
        if path.endswith(("/v1/traces", "/v1/logs")):
            raise ValueError("otlpUrl: leave /v1/traces or /v1/logs out; the Collectors add it")
        return self

    @property
    def receiver(self) -> str:
        """`host:port` of a receiver of OTLP over gRPC, URL of one over HTTP."""
        if self.protocol == "http":
            return self.otlp_url
        url = urlsplit(self.otlp_url)
        return url.netloc if url.port else f"{url.netloc}:{endpoints.OTLP_GRPC_PORT}"


def require_encryption(url: str, *, on: bool, name: str) -> None:
    """Raise ValueError if a setting is on that sends a secret to a URL in clear."""
    if on and urlsplit(url).scheme != "https":
        raise ValueError(f"{name}: the secret would be sent in clear, because the URL is not https")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The secrets of an external store."""

    otlp: str
    """Key of the secret in a header to the OTLP receiver."""
    query: str
    """Key of the secret that is this header to the query API."""

    def needed(self, store: ExternalStore | None) -> tuple[str, ...]:
        """Return the keys of the secrets that a store needs."""
        if store is None:
            return ()
        return (*((self.otlp,) if store.authorize else ()), *((self.query,) if store.authorize_queries else ()))

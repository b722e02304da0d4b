"""A store of telemetry: the settings of one that the stack did not build, and the addresses of any."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s
from pydantic import Field, model_validator

from collector.pipeline import OtlpTarget
from contracts import endpoints
from contracts.section import Section, WebAddress
from stack.components.shared.environment import secret_variable
from stack.components.shared.settings import Pem


class QueriedStore(Section):
    """A store that the stack did not build: the API that is queried."""

    query_url: WebAddress
    """Base URL of the store's query API. The cluster and the machines that run the checks must reach it."""
    ca: Pem | None = None
    """Authority that signed the store's certificates, as PEM; the public ones if unset."""
    headers: dict[str, str] = Field(default_factory=dict, examples=[{"X-Scope-OrgID": "tracing"}])
    """Sent with each request, also to the receiver, without secrets."""
    authorize_queries: bool = False
    """If on, a secret is the header `Authorization` to the query API: `tracesQueryAuthorization`,
    `logsQueryAuthorization`, `metricsQueryAuthorization`."""

    @model_validator(mode="after")
    def _check_queries_are_encrypted(self) -> Self:
        require_encryption(self.query_url, on=self.authorize_queries, name="authorizeQueries")
        return self


class ExternalStore(QueriedStore):
    """A store of traces or logs that the stack did not build: an OTLP receiver, and the API that is queried."""

    otlp_url: WebAddress
    """Receiver of OTLP, such as `https://otlp.example.com:4317`; for HTTP without `/v1/traces` or `/v1/logs`."""
    protocol: Literal["grpc", "http"] = "grpc"
    """Of the receiver."""
    authorize: bool = False
    """If on, a secret is the header `Authorization` to the receiver: `tracesAuthorization`, `logsAuthorization`."""

    @model_validator(mode="after")
    def _check_spans_are_encrypted(self) -> Self:
        require_encryption(self.otlp_url, on=self.authorize, name="authorize")
        return self


def require_encryption(url: str, *, on: bool, name: str) -> None:
    """Raise ValueError if a setting is on that sends a secret to a URL in clear."""
    if on and urlsplit(url).scheme != "https":
        raise ValueError(f"{name}: the secret would be sent in clear, because the URL is not https")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The secrets of an external store."""

    otlp: str
    """Key of the secret that is the header `Authorization` to the OTLP receiver."""
    query: str
    """Key of the secret that is this header to the query API."""

    def needed(self, store: ExternalStore | None) -> tuple[str, ...]:
        """Return the keys of the secrets that a store needs."""
        if store is None:
            return ()
        return (*((self.otlp,) if store.authorize else ()), *((self.query,) if store.authorize_queries else ()))


def environment_name(key: str) -> str:
    """Return the variable in which pods find a secret.

    >>> environment_name("tracesQueryAuthorization")
    'TRACES_QUERY_AUTHORIZATION'
    """
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in key).upper()


@dataclass(frozen=True, kw_only=True)
class QueryAccess:
    """What a client of a store's query API sends and trusts."""

    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = None
    """Key of the secret that is the header `Authorization`."""
    ca: str | None = None
    """PEM; the public authorities if None."""

    def variables(self, secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
        """Return the variable with the secret, for the containers of clients."""
        if self.authorization is None:
            return []
        return [secret_variable(environment_name(self.authorization), self.authorization, secret)]

    def grafana(self) -> dict[str, Any]:
        """Return what the datasource has of it. Grafana replaces the variable when it reads the file."""
        headers = dict(self.headers)
        if self.authorization:
            headers["Authorization"] = f"${environment_name(self.authorization)}"
        plain: dict[str, Any] = {f"httpHeaderName{number}": name for number, name in enumerate(headers, 1)}
        secret = {f"httpHeaderValue{number}": value for number, value in enumerate(headers.values(), 1)}
        if self.ca:
            plain["tlsAuthWithCACert"] = True
            secret["tlsCACert"] = self.ca
        return {"jsonData": plain, "secureJsonData": secret} if secret else {}


@dataclass(frozen=True, kw_only=True)
class StoreAddresses:
    """Where data and queries go."""

    otlp: pulumi.Input[OtlpTarget]
    otlp_secrets: tuple[str, ...] = ()
    """Keys of the secrets in the headers of `otlp`."""
    query_url: pulumi.Input[str]
    """Base URL of its query API."""
    access: QueryAccess = QueryAccess()

    def otlp_variables(self, secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
        """Return the variables to which the headers of `otlp` refer."""
        return [secret_variable(environment_name(key), key, secret) for key in self.otlp_secrets]


def external_addresses(store: ExternalStore, credentials: Credentials) -> StoreAddresses:
    """Return the addresses of a store that the stack did not build."""
    url = urlsplit(store.otlp_url)
    headers = dict(store.headers)
    if store.authorize:
        headers["Authorization"] = f"${{env:{environment_name(credentials.otlp)}}}"
    otlp = OtlpTarget(
        endpoint=f"{url.hostname}:{url.port or endpoints.OTLP_GRPC_PORT}" if store.protocol == "grpc" else url.geturl(),
        protocol=store.protocol,
        encrypted=url.scheme == "https",
        ca=store.ca,
        headers=headers,
    )
    return StoreAddresses(
        otlp=otlp,
        otlp_secrets=(credentials.otlp,) if store.authorize else (),
        query_url=store.query_url,
        access=query_access(store, credentials.query),
    )


def query_access(store: QueriedStore, key: str) -> QueryAccess:
    """Return what clients of the query API send and trust; `key` is that of the secret."""
    return QueryAccess(headers=store.headers, authorization=key if store.authorize_queries else None, ca=store.ca)

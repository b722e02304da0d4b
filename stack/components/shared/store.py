"""The addresses of a store of telemetry, and what its clients send and trust."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from collector.pipeline import OtlpTarget
from stack.components.shared.environment import secret_variable
from stack.components.shared.external_store import Credentials, ExternalStore, Store


def environment_name(key: str) -> str:
    """Return the variable in which pods find a secret.

    >>> environment_name("tracesQueryAuthorization")
    'TRACES_QUERY_AUTHORIZATION'
    """
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in key).upper()


def without_repetition(variables: Iterable[k8s.core.v1.EnvVarArgs]) -> list[k8s.core.v1.EnvVarArgs]:
    """Return each variable once: several stores may need the same secret."""
    return list({str(variable.name): variable for variable in variables}.values())


@dataclass(frozen=True, kw_only=True)
class QueryAccess:
    """What a client of a store's query API sends and trusts."""

    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = None
    """Key of the secret that is the header `Authorization`."""
    ca: pulumi.Input[str] | None = None
    """PEM; the public authorities if None."""

    def variables(self, secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
        """Return the variable with the secret, for the containers of clients."""
        if self.authorization is None:
            return []
        return [secret_variable(environment_name(self.authorization), self.authorization, secret)]

    @property
    def authorization_field(self) -> str:
        """Field of a datasource's `secureJsonData` that has the header `Authorization`."""
        return f"httpHeaderValue{len(self.headers) + 1}"

    def grafana(self, authorizations: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
        """Return what the datasource has of it.

        Args:
            authorizations: key of a secret → the header `Authorization`. By default it is a variable, which Grafana
                replaces when it reads the file.
        """
        headers = dict(self.headers)
        if key := self.authorization:
            headers["Authorization"] = authorizations.get(key, f"${environment_name(key)}")
        plain: dict[str, Any] = {f"httpHeaderName{number}": name for number, name in enumerate(headers, 1)}
        secret: dict[str, Any] = {f"httpHeaderValue{number}": value for number, value in enumerate(headers.values(), 1)}
        if self.ca is not None:
            plain["tlsAuthWithCACert"] = True
            secret["tlsCACert"] = self.ca
        return {"jsonData": plain, "secureJsonData": secret} if secret else {}


@dataclass(frozen=True, kw_only=True)
class QueryApi:
    """The query API of a store."""

    url: pulumi.Input[str]
    """Its base URL."""
    access: QueryAccess = QueryAccess()


@dataclass(frozen=True, kw_only=True)
class StoreAddresses:
    """Where data and queries go."""

    otlp: pulumi.Input[OtlpTarget]
    otlp_secrets: tuple[str, ...] = ()
    """Keys of the secrets in the headers of `otlp`."""
    queries: QueryApi | None
    """None if the store only receives."""

    def otlp_variables(self, secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
        """Return the variables to which the headers of `otlp` refer."""
        return [secret_variable(environment_name(key), key, secret) for key in self.otlp_secrets]


def external_addresses(store: ExternalStore, credentials: Credentials) -> StoreAddresses:
    """Return the addresses of a store that the stack did not build."""
    headers = dict(store.headers)
    if store.authorize:
        headers[store.receiver_header] = f"${{env:{environment_name(credentials.otlp)}}}"
    otlp = OtlpTarget(
        endpoint=store.receiver,
        protocol=store.protocol,
        encrypted=store.otlp_url.startswith("https:"),
        ca=store.ca,
        headers=headers,
    )
    return StoreAddresses(
        otlp=otlp,
        otlp_secrets=(credentials.otlp,) if store.authorize else (),
        queries=QueryApi(url=store.query_url, access=query_access(store, credentials.query))
        if store.query_url
        else None,
    )


def query_access(store: Store, key: str) -> QueryAccess:
    """Return what clients of the query API send and trust; `key` is that of the secret."""
    return QueryAccess(headers=store.headers, authorization=key if store.authorize_queries else None, ca=store.ca)

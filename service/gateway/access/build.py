"""Builds the guard of the gateway from its settings."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
from prometheus_client import CollectorRegistry, Counter

from contracts import service_metrics as names
from contracts.access import STACK_CALLER, Refusal, Role
from contracts.metrics import REASON
from service.common.access import Guard, OpenGuard, digest
from service.gateway.access.guard import FrontDoor
from service.gateway.access.keys import ApiKey, ApiKeys
from service.gateway.access.limits import Concurrency, Rate
from service.gateway.access.settings import AccessSettings

if TYPE_CHECKING:
    from service.gateway.access.tokens import Tokens


def build_guard(settings: AccessSettings, client: httpx.AsyncClient, registry: CollectorRegistry) -> Guard:
    """The guard of the routes.

    Args:
        settings: who has access.
        client: fetches the identity provider's keys.
        registry: gets the counter of refusals.
    """
    refusals = Counter(
        names.ACCESS_REFUSALS, "Requests without access, or over a limit of their caller.", (REASON,), registry=registry
    )
    for reason in Refusal:
        refusals.labels(reason)  # 0 from the start: the first refusal is an increase
    if not settings.access_control:
        return OpenGuard()
    return FrontDoor(
        ApiKeys([*settings.api_keys, *_stack_keys(settings)]),
        _tokens(settings, client),
        Rate(settings.requests_per_minute, settings.burst),
        Concurrency(settings.concurrent_requests),
        lambda reason: refusals.labels(reason).inc(),
    )


def _tokens(settings: AccessSettings, client: httpx.AsyncClient) -> "Tokens | None":
    if not (settings.issuer and settings.audience and settings.keys_url):
        return None
    # Imported here: the two take 10 MB, and many gateways have no identity provider.
    from service.gateway.access.key_set import KeySet
    from service.gateway.access.tokens import Tokens

    return Tokens(
        issuer=settings.issuer,
        audience=settings.audience,
        keys=KeySet(settings.keys_url, client),
        roles_claim=settings.roles_claim,
    )


def _stack_keys(settings: AccessSettings) -> Iterator[ApiKey]:
    for key in (settings.stack_key, settings.stack_key_other):
        if key and key.get_secret_value():
            yield ApiKey(STACK_CALLER, Role.USER, digest(key.get_secret_value()))

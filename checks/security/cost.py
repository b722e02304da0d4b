"""What access control costs: the CPU time of one request at the gateway, without it, with an API key, with a token."""

import asyncio
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from fastapi import FastAPI
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from checks.security.access import BODY
from checks.security.issuer import AUDIENCE, Issuer
from checks.security.services import KEYS, SERVICE_TOKEN
from contracts.access import Role
from contracts.http import TASKS
from lean_tracing import Tracing, TracingSettings, start_tracing
from lean_tracing.asgi import App, Message, TracingMiddleware
from service.common import problems
from service.common.access import digest
from service.common.messages import Outgoing
from service.common.submission import submission_router
from service.gateway.access.build import build_guard
from service.gateway.access.keys import ApiKey
from service.gateway.config import GatewaySettings

_ROUNDS: Final = 15
_REQUESTS: Final = 200


@dataclass(frozen=True)
class Cost:
    """The cost of one variant."""

    name: str
    microseconds: float
    """Median of the rounds' CPU time for a request."""
    ratio: float
    """Median of the rounds' ratios to the same round without access control."""


def measure(issuer: Issuer, *, rounds: int = _ROUNDS, requests: int = _REQUESTS) -> list[Cost]:
    """Measure POST /api/tasks, traced, with a publisher that does nothing; the variants take turns in each round."""
    tracing = start_tracing(TracingSettings(service_name="gateway", sampling_rate=1), exporter=InMemorySpanExporter())
    try:
        return asyncio.run(_measure(issuer, tracing, rounds, requests))
    finally:
        tracing.shutdown()


async def _measure(issuer: Issuer, tracing: Tracing, rounds: int, requests: int) -> list[Cost]:
    credentials = {
        "without access control": "",
        "API key": KEYS[Role.USER],
        **{f"token, {key.algorithm}": issuer.token(key=key) for key in issuer.keys},
    }
    seconds: dict[str, list[float]] = {name: [] for name in credentials}
    async with httpx.AsyncClient() as client:
        open_app, guarded_app = (_app(tracing, client, issuer, is_guarded=guarded) for guarded in (False, True))
        for number in range(rounds + 1):
            for name, credential in credentials.items():
                app = guarded_app if credential else open_app
                taken = await _seconds(app, credential, requests)
                if number:  # the first round imports and fetches
                    seconds[name].append(taken)
    bare = seconds["without access control"]
    return [
        Cost(name, statistics.median(taken) * 1e6, statistics.median(a / b for a, b in zip(taken, bare, strict=True)))
        for name, taken in seconds.items()
    ]


def _app(tracing: Tracing, client: httpx.AsyncClient, issuer: Issuer, *, is_guarded: bool) -> App:
    settings = GatewaySettings.from_env(
        {
            "ACCESS_CONTROL": str(is_guarded).lower(),
            "SERVICE_TOKEN": SERVICE_TOKEN,
            # As many as a stack with some teams has: each is compared.
            "ACCESS_API_KEYS": ",".join(
                str(ApiKey(f"a-{number}", Role.USER, digest(str(number)))) for number in range(9)
            )
            + f",{ApiKey('last', Role.USER, digest(KEYS[Role.USER]))}",
            "ACCESS_ISSUER": issuer.url,
            "ACCESS_AUDIENCE": AUDIENCE,
            "ACCESS_JWKS_URL": issuer.keys_url,
            "ACCESS_REQUESTS_PER_MINUTE": "1000000",
            "ACCESS_BURST": "100000",
        }
    )

    async def publish(_: Outgoing) -> None:
        pass

    app = FastAPI()
    problems.install(app)
    app.include_router(submission_router(publish, tracing.redactor, build_guard(settings, client, CollectorRegistry())))
    return TracingMiddleware(app, tracing.traces)


async def _seconds(app: App, credential: str, requests: int) -> float:
    """Return the CPU time of a request."""
    body = json.dumps(BODY).encode()
    headers = [(b"content-type", b"application/json"), (b"user-agent", b"check")]
    if credential:
        headers.append((b"authorization", b"Bearer " + credential.encode()))
    scope: Mapping[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": TASKS,
        "raw_path": TASKS.encode(),
        "query_string": b"",
        "headers": headers,
        "server": ("gateway", 8080),
        "client": ("127.0.0.1", 1),
    }
    statuses = set()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.add(message["status"])

    started = time.process_time()
    for _ in range(requests):
        await app({**scope, "headers": list(headers)}, receive, send)
    taken = (time.process_time() - started) / requests
    assert statuses == {httpx.codes.ACCEPTED}, statuses
    return taken

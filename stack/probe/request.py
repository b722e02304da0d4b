"""One request through the front door, in a trace whose ids the caller chooses."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from contracts import endpoints
from contracts.http import DEMO, KEEP_KEY, PROBE_AGENT, SMOKE_CHECK_AGENT, TASKS
from contracts.services import GATEWAY
from contracts.tasks import PROBE_USER, SMOKE_CHECK_USER
from stack.polling import CheckFailure

ANSWER_SECONDS: Final = 10.0
"""The time that the gateway has to answer, in s."""

Send = Callable[..., httpx.Response]
"""`httpx.get` or `httpx.post`, or the same method of an `httpx.Client`, which keeps connections."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A program that sends requests; its tasks have the e-mail address, its spans the user agent."""

    email: str
    user_agent: str
    """Attribute `user_agent.original` of the gateway's spans."""
    service: str
    """`service.name` of its own span, the root of its traces."""


SMOKE_CHECK: Final = Caller(email=SMOKE_CHECK_USER, user_agent=SMOKE_CHECK_AGENT, service="smoke-check")
PROBE: Final = Caller(email=PROBE_USER, user_agent=PROBE_AGENT, service=endpoints.PROBE)


def authorization(key: str) -> dict[str, str]:
    """Returns the headers with an API key of the gateway; none if it needs no key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def not_sampled() -> dict[str, str]:
    """Returns the headers of a request whose trace is not to be stored."""
    return {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"}


def own_page(*, encrypted: bool = False) -> str:
    """Returns the URL at which the crawler finds a page that the gateway serves itself."""
    return f"{endpoints.url(GATEWAY, endpoints.SERVICE_PORT, encrypted=encrypted)}{DEMO}"


OWN_PAGE: Final = own_page()
"""Of a stack whose services are in clear."""


def task(caller: Caller, page: str) -> dict[str, str]:
    """Returns the body of a request that submits a task."""
    return {
        "user_email": caller.email,
        "user_query": caller.user_agent,
        "base_url": page,
    }


def submit(
    gateway: str,
    trace_id: str,
    span_id: str,
    *,
    page: str = OWN_PAGE,
    caller: Caller = SMOKE_CHECK,
    post: Send = httpx.post,
    key: str = "",
) -> httpx.Response:
    """Submits a task within the trace of the caller.

    Args:
        gateway: its base URL.
        trace_id: of the trace.
        span_id: of the caller's span.
        page: URL of the page that the crawler fetches, such as `own_page`.
        caller: sends the request.
        post: sends it over HTTP.
        key: the caller's API key; empty if the gateway needs none.

    Raises:
        httpx.HTTPError: the gateway does not answer.
    """
    headers = {
        "User-Agent": caller.user_agent,
        # The flag makes the services sample the trace, the key makes the Collectors keep it.
        "traceparent": f"00-{trace_id}-{span_id}-01",
        "tracestate": f"{KEEP_KEY}=1",
        **authorization(key),
    }
    return post(f"{gateway}{TASKS}", json=task(caller, page), headers=headers, timeout=ANSWER_SECONDS)


def accepted_task(answer: httpx.Response, trace_id: str, look_at: str) -> str:
    """Returns the id of the task that the gateway accepted with this answer.

    Raises:
        httpx.HTTPStatusError: the gateway did not accept the task.
        CheckFailure: the gateway answered within another trace.
    """
    returned = answer.raise_for_status().headers.get("traceparent", "")
    if returned.split("-")[1:2] != [trace_id]:
        raise CheckFailure(f"the gateway answered with traceparent {returned!r}, not with ours", look_at)
    return str(answer.json()["id"])


def completed_task(
    gateway: str, identifier: str, *, get: Send = httpx.get, key: str = "", headers: Mapping[str, str] = {}
) -> dict[str, Any] | None:
    """Returns the task as the gateway shows it; None while it is not completed.

    Args:
        gateway: its base URL.
        identifier: of the task.
        get: sends requests over HTTP.
        key: the caller's API key; empty if the gateway needs none.
        headers: further headers.

    Raises:
        httpx.HTTPError: the gateway does not answer, or answers with an error.
        TaskFailed: the task ended in error.
    """
    answer = get(f"{gateway}{TASKS}/{identifier}", headers={**headers, **authorization(key)}, timeout=ANSWER_SECONDS)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    answered: dict[str, Any] = answer.raise_for_status().json()
    if answered["status"] == "error":
        raise TaskFailed(identifier, str((answered.get("result") or {}).get("error", "")))
    return answered if answered["status"] == "completed" else None


class TaskFailed(Exception):
    """The task ended in error, so waiting longer does not help."""

    def __init__(self, identifier: str, reason: str) -> None:
        super().__init__(f"task {identifier} ended in error: {reason}")
        self.reason = reason
        """The text that the task shows to its user."""

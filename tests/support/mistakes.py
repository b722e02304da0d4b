"""Requests that people make wrongly."""

import contextlib

import httpx

from contracts import endpoints
from contracts.services import GATEWAY
from stack.probe.request import authorization


def make_mistakes(gateway: str, key: str = "") -> None:
    """What people do wrong: a page that is not there, a task that is none, a request that cannot be read.

    Args:
        gateway: its base URL.
        key: API key for the gateway; empty if it needs none.
    """
    headers = authorization(key)
    with contextlib.suppress(httpx.HTTPError):
        missing = f"{endpoints.url(GATEWAY, endpoints.SERVICE_PORT)}/nothing"
        body = {"user_email": "a@example.com", "user_query": "?", "base_url": missing}
        httpx.post(f"{gateway}/api/tasks", json=body, timeout=10, headers=headers)
        httpx.get(f"{gateway}/api/tasks/00000000-0000-4000-8000-000000000000", timeout=10, headers=headers)
        httpx.post(f"{gateway}/api/tasks", content=b"{", timeout=10, headers=headers)

"""The gateway's own routes: reading tasks through the task-manager, and a page for trial crawls."""

import asyncio
import socket
import ssl
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Final

import httpx
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from fastapi.responses import HTMLResponse

from contracts import http
from lean_tracing import TraceManager
from lean_tracing.httpx import AsyncTracingTransport
from service.common import problems
from service.common.access import Caller, Guard, caller_of, guarded, to_headers
from service.common.errors import Unavailable
from service.common.retry import Backoff
from service.common.views import TaskPage, TaskQuery, TaskView

_DEMO_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>A page to crawl</title></head>
<body>
<h1>A page to crawl</h1>
<p>The gateway serves this page so that a crawl can be tried, and its trace followed, without any other web site.</p>
</body>
</html>
"""
_PATIENCE_SECONDS: Final = 8.0
"""A read is safe to repeat, so it waits while a database fails over or a node is lost, instead of failing."""
_LAST_SECONDS: Final = 1.0
"""For an attempt that begins just before the patience is over. Callers wait for 10 s, so it must not take long."""
_PASSING: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.RemoteProtocolError, httpx.ReadError)
"""A pod has ended, or is not there yet. A slow answer is none of them: a repetition would make it slower."""
_CONNECT_RETRIES: Final = 3
_UNREACHABLE_MS: Final = 2000
"""A connection is given up when the other side has confirmed no packet for so long; a slow answer is no reason."""
_SOCKET_OPTIONS: Final = (
    [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREACHABLE_MS)] if sys.platform == "linux" else []
)
_FORWARDED_HEADERS: Final = ("content-type", "retry-after")


class TaskReader:
    """Reads tasks from the task-manager and forwards its answers."""

    def __init__(
        self,
        base_url: str,
        traces: TraceManager,
        token: str = "",
        patience: float = _PATIENCE_SECONDS,
        trust: ssl.SSLContext | bool = True,
    ) -> None:
        """Prepares it.

        Args:
            base_url: of the task-manager.
            traces: traces each attempt.
            token: by which the task-manager knows the gateway, if access control is on.
            patience: seconds in which a read is repeated while the task-manager or its database is unavailable.
            trust: how the task-manager's certificate is verified.
        """
        self._base_url = base_url
        self._traces = traces
        self._patience = patience
        self._trust = trust
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}
        self._client: httpx.AsyncClient | None = None

    async def read(self, path: str, caller: Caller, query: Mapping[str, Any] | None = None) -> Response:
        """The task-manager's answer to GET `path` for a caller, problem documents included.

        Raises:
            Unavailable: The task-manager does not answer.
            HTTPException: With status 502: the answer does not come from the task-manager.
        """
        if self._client is None:  # created on the event loop that uses it
            self._client = httpx.AsyncClient(
                base_url=self._base_url,
                transport=AsyncTracingTransport(
                    self._traces,
                    httpx.AsyncHTTPTransport(
                        verify=self._trust, retries=_CONNECT_RETRIES, socket_options=_SOCKET_OPTIONS
                    ),
                ),
                timeout=httpx.Timeout(5.0, connect=1.0),
            )
        try:
            answer = await self._get(self._client, path, query, self._authorization | to_headers(caller))
        except httpx.TransportError as error:
            raise Unavailable("The task-manager is unavailable", type(error).__name__) from error
        headers = {name: answer.headers[name] for name in _FORWARDED_HEADERS if name in answer.headers}
        is_usable = headers.get("content-type") in ("application/json", problems.MEDIA_TYPE)
        if not is_usable or answer.status_code == httpx.codes.UNAUTHORIZED:
            # A proxy in between has answered, or the task-manager does not know the gateway's token: nothing for users.
            raise HTTPException(502, "The task-manager gave no usable answer.")
        return Response(answer.content, answer.status_code, headers=headers)

    async def _get(
        self, client: httpx.AsyncClient, path: str, query: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        """The first answer that is not 503, or the last outcome once the patience is over."""
        deadline = time.monotonic() + self._patience
        backoff = Backoff()
        while True:
            delay = backoff.next_delay()
            try:
                async with asyncio.timeout(max(deadline - time.monotonic(), _LAST_SECONDS)):
                    answer = await client.get(path, params=query, headers=headers)
            except TimeoutError:
                raise httpx.ReadTimeout(f"no answer within {self._patience:g} s") from None
            except _PASSING:
                if time.monotonic() + delay > deadline:
                    raise
            else:
                if time.monotonic() + delay > deadline or answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return answer
            await asyncio.sleep(delay)

    async def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.aclose()


def reading_router(reader: TaskReader, guard: Guard) -> APIRouter:
    """GET /api/tasks and /api/tasks/{id}."""
    router = APIRouter(route_class=guarded(guard), dependencies=problems.credentials(guard))

    @router.get(
        http.TASKS,
        tags=["tasks"],
        summary="List tasks, newest first",
        response_model=TaskPage,
        responses=problems.documented(*problems.guarded(guard), 422, 502, 503),
    )
    async def list_tasks(
        query: Annotated[TaskQuery, Query()], caller: Annotated[Caller, Depends(caller_of)]
    ) -> Response:
        return await reader.read(http.TASKS, caller, query.model_dump(mode="json", exclude_none=True))

    @router.get(
        f"{http.TASKS}/{{id}}",
        tags=["tasks"],
        summary="Read a task",
        response_model=TaskView,
        responses=problems.documented(*problems.guarded(guard), 404, 422, 502, 503),
    )
    async def read_task(
        task_id: Annotated[uuid.UUID, Path(alias="id")], caller: Annotated[Caller, Depends(caller_of)]
    ) -> Response:
        return await reader.read(f"{http.TASKS}/{task_id}", caller)

    return router


def demo_router() -> APIRouter:
    """GET /demo."""
    router = APIRouter()

    @router.get(http.DEMO, response_class=HTMLResponse, summary="A page to crawl")
    async def demo() -> HTMLResponse:
        return HTMLResponse(_DEMO_PAGE)

    return router

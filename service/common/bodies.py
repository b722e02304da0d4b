"""Limits of a request's body: its length, and the time that it takes to arrive."""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException

from lean_tracing.asgi import App, Message, Receive, Scope, Send

MAX_BYTES: Final = 64 * 1024  # several times the longest task request
MAX_SECONDS: Final = 10.0
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class BodyLimits:
    """Answers 413 to a body that is too long, without reading it whole, and 408 to one that is not complete in time."""

    def __init__(self, app: App, *, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        length = 0
        is_complete = False
        deadline = asyncio.get_running_loop().time() + self._max_seconds

        async def limited() -> Message:
            # An error that is raised here passes through the application's own error handlers.
            nonlocal length, is_complete
            if is_complete:  # only the client's disconnect can follow, and it has no deadline
                return await receive()
            if declared.isdigit() and int(declared) > self._max_bytes:
                raise self._too_long()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The request's body did not arrive in time.") from None
            length += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if length > self._max_bytes:
                raise self._too_long()
            return message

        await self._app(scope, limited, send)

    def _too_long(self) -> HTTPException:
        return HTTPException(413, f"The request's body is longer than {self._max_bytes} bytes.")

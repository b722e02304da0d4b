"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.common.errors import Unavailable
from service.tracing import propagation

MEDIA_TYPE = "application/problem+json"
_logger = logging.getLogger(__name__)


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem response; carries the trace's id, so that a user's complaint finds its trace."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = errors
    if trace_id := propagation.trace_id():
        body["trace_id"] = trace_id
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes `app` answer every error with a problem document."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        # What was sent is not sent back: it may be personal, or not even encodable.
        errors = [
            {"field": ".".join(str(part) for part in found["loc"]), "reason": found["msg"]} for found in error.errors()
        ]
        return problem(422, "The request does not have the expected form.", errors=errors)

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, error.detail, headers=dict(error.headers) if error.headers else None)

    @app.exception_handler(Unavailable)
    async def unavailable(_request: Request, error: Unavailable) -> JSONResponse:
        _logger.warning("request refused: %s", error)
        return problem(503, f"{error}. Try again.", headers={"Retry-After": "2"})

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> JSONResponse:
        return problem(500, "An unexpected error happened.")

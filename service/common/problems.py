"""Errors as problem documents (RFC 9457)."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from lean_tracing import propagation
from service.common.access import Guard
from service.common.errors import Rejected, Unavailable

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 2
_DETAILS: Final = {
    400: "The request cannot be read.",
    401: "The credential is missing or not valid.",
    404: "There is no such task.",
    408: "The request's body did not arrive in time.",
    413: "The request's body is too long.",
    415: "The request's body is not JSON.",
    429: "Too many requests. Try again later.",
    422: "The request does not have the expected form.",
    500: "An unexpected error happened.",
    502: "The task-manager gave no usable answer.",
    503: "Kafka is unavailable. Try again.",
}
# A body of 64 KiB can hold 6,500 unknown fields; a list of all would be seven times as long.
_MOST_ERRORS: Final = 20
_LONGEST_FIELD: Final = 100
_logger = logging.getLogger(__name__)


class InvalidField(BaseModel):
    """A part of a request that was refused. The refused value is not repeated."""

    field: str = Field(examples=["body.user_email"])
    reason: str = Field(examples=["not an e-mail address"])


class Problem(BaseModel):
    """RFC 9457. `trace_id` is the trace of the request; a user can name it in a complaint."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Service Unavailable"])
    status: int = Field(examples=[503])
    detail: str = Field(examples=["Kafka is unavailable. Try again."])
    trace_id: str | None = Field(None, examples=["0af7651916cd43dd8448eb211c80319c"])
    errors: list[InvalidField] | None = Field(None, description="only with status 422")


def guarded(guard: Guard) -> tuple[int, ...]:
    """The statuses with which a guard refuses requests."""
    return () if guard.is_open else (401, 429)


def credentials(guard: Guard) -> list[Any]:
    """The dependencies by which OpenAPI documents that a guard demands a credential; the guard itself checks it."""
    return [] if guard.is_open else [Depends(HTTPBearer(auto_error=False, description="an API key, or a token"))]


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems, for its OpenAPI document."""
    return {status: _documented(status) for status in statuses}


def _documented(status: int) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _DETAILS[status],
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    if status == 422:
        example["errors"] = [{"field": "body.user_email", "reason": "not an e-mail address"}]
    response: dict[str, Any] = {
        "description": _DETAILS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}
    return response


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem response, with the id of the current trace."""
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
    """Makes `app` answer every error with a problem document, and documents this in OpenAPI."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        # Without the sent values: they may be personal, or impossible to encode.
        errors = [
            {
                "field": ".".join(str(part) for part in detail["loc"])[:_LONGEST_FIELD],
                "reason": detail["msg"].removeprefix("Value error, "),
            }
            for detail in error.errors()[:_MOST_ERRORS]
        ]
        return problem(422, "The request does not have the expected form.", errors=errors)

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, error.detail, headers=dict(error.headers) if error.headers else None)

    @app.exception_handler(Unavailable)
    async def unavailable(_request: Request, error: Unavailable) -> JSONResponse:
        _logger.warning("request refused: %s", error)
        return problem(503, f"{error.message}. Try again.", headers={"Retry-After": str(RETRY_SECONDS)})

    @app.exception_handler(Rejected)
    async def rejected(_request: Request, error: Rejected) -> JSONResponse:
        return problem(422, f"{error}.")

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> JSONResponse:
        return problem(500, _DETAILS[500])

    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        components = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in components:
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            components.update(schema.pop("$defs", {}))
            components["Problem"] = schema
            # FastAPI's own error format is never sent.
            for unused in ("HTTPValidationError", "ValidationError"):
                components.pop(unused, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents to extend it

"""POST /api/tasks, the same at the gateway and at the task-manager."""

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from opentelemetry import trace
from pydantic import BaseModel, ConfigDict, Field

from contracts import http, span_attributes
from contracts.tasks import TaskStatus
from lean_tracing import propagation
from lean_tracing.redaction import Redactor
from service.common import messages, problems
from service.common.access import Caller, Guard, caller_of, guarded
from service.common.messages import Outgoing, TaskRequest

_REQUEST_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "idempotency-key")
_logger = logging.getLogger(__name__)


class TaskSubmission(TaskRequest):
    """A task as a user submits it. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Accepted(BaseModel):
    """The immediate answer to a submission. `trace_id` finds the trace of the whole task."""

    id: uuid.UUID
    status: Literal[TaskStatus.NEW]
    trace_id: str | None = Field(examples=["0af7651916cd43dd8448eb211c80319c"])


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A request that is sent again with the same key means the same task.",
    ),
]


def task_id_of(task: TaskRequest, idempotency_key: str | None, owner: str | None = None) -> uuid.UUID:
    """A random id; with a key, the id that the same request always gets, so that no service has to store keys.

    The id depends on the request: the same key with another request, from another user or another caller is another
    task.
    """
    if idempotency_key is None:
        return uuid.uuid4()
    parts = [idempotency_key, task.model_dump_json(), *([owner] if owner else [])]
    return uuid.uuid5(_REQUEST_IDS, "\n".join(parts))


def _json_only(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "The request's body is not JSON: send it with Content-Type: application/json.")


def submission_router(publish: Callable[[Outgoing], Awaitable[None]], redactor: Redactor, guard: Guard) -> APIRouter:
    """POST /api/tasks. Answers 202 when the broker has acknowledged the task: from then on it cannot get lost."""
    router = APIRouter(tags=["tasks"], route_class=guarded(guard), dependencies=problems.credentials(guard))

    @router.post(
        http.TASKS,
        status_code=202,
        response_model=Accepted,
        summary="Submit a page to crawl",
        dependencies=[Depends(_json_only)],
        responses={
            202: {
                "description": "The task is stored in Kafka and will be done.",
                "headers": {"Location": {"description": "path of the task", "schema": {"type": "string"}}},
            },
            **problems.documented(*problems.guarded(guard), 400, 408, 413, 415, 422, 503),
        },
    )
    async def submit(
        task: TaskSubmission,
        response: Response,
        caller: Annotated[Caller, Depends(caller_of)],
        idempotency_key: IdempotencyKey = None,
    ) -> Accepted:
        task_id = task_id_of(task, idempotency_key, caller.owner)
        trace.get_current_span().set_attributes(
            {
                span_attributes.TASK_ID: str(task_id),
                span_attributes.TASK_STATUS: TaskStatus.NEW,
                span_attributes.TASK_USER_HASH: redactor.hash(task.user_email),
            }
        )
        await publish(messages.new(task_id, task, caller.owner))
        _logger.info("task accepted", extra={span_attributes.TASK_ID: str(task_id), "user_email": task.user_email})
        response.headers["Location"] = f"{http.TASKS}/{task_id}"
        return Accepted(id=task_id, status=TaskStatus.NEW, trace_id=propagation.trace_id())

    return router

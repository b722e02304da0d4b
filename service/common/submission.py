"""The front door for tasks, the same at the gateway and at the task-manager."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, Response
from opentelemetry import trace
from pydantic import BaseModel, ConfigDict

from service.common import messages
from service.common.messages import NewTask, Outgoing
from service.tracing import attributes as keys
from service.tracing import propagation
from service.tracing.masking import Masker

_logger = logging.getLogger(__name__)


class TaskSubmission(NewTask):
    """A task as a user submits it; what is not known is refused rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Accepted(BaseModel):
    """What a user gets at once; `trace_id` finds the whole path of the task."""

    id: uuid.UUID
    status: Literal["new"]
    trace_id: str | None


def submission_router(publish: Callable[[Outgoing], None], masker: Masker) -> APIRouter:
    """POST /api/tasks. Answers 202 once the broker has the task: from there on it cannot get lost."""
    router = APIRouter(tags=["tasks"])

    @router.post("/api/tasks", status_code=202, response_model=Accepted, summary="Submit a page to crawl")
    def submit(task: TaskSubmission, response: Response) -> Accepted:
        task_id = uuid.uuid4()
        trace.get_current_span().set_attributes(
            {
                keys.TASK_ID: str(task_id),
                keys.TASK_STATUS: messages.NEW,
                keys.TASK_USER_HASH: masker.hash(task.user_email),
            }
        )
        publish(messages.new(task_id, task))
        _logger.info("task accepted", extra={keys.TASK_ID: str(task_id), "user_email": task.user_email})
        response.headers["Location"] = f"/api/tasks/{task_id}"
        return Accepted(id=task_id, status="new", trace_id=propagation.trace_id())

    return router

"""The task-manager's REST interface for reading tasks."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict

from service.task_manager.domain import TaskStatus
from service.task_manager.use_cases import Tasks


class TaskView(BaseModel):
    """A task, as its owner sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    user_email: str
    user_query: str
    original_url: str
    status: TaskStatus
    result: Any
    created_at: datetime
    updated_at: datetime


class TaskPage(BaseModel):
    """Some of the tasks, newest first; `total` counts all that match."""

    items: list[TaskView]
    total: int
    limit: int
    offset: int


def task_router(tasks: Tasks) -> APIRouter:
    """GET /api/tasks and /api/tasks/{id}."""
    router = APIRouter(tags=["tasks"])

    @router.get("/api/tasks", summary="List tasks, newest first")
    def list_tasks(
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        status: TaskStatus | None = None,
    ) -> TaskPage:
        page = tasks.list(limit=limit, offset=offset, status=status)
        items = [TaskView.model_validate(task) for task in page.items]
        return TaskPage(items=items, total=page.total, limit=limit, offset=offset)

    @router.get("/api/tasks/{id}", summary="Read a task")
    def read_task(task_id: Annotated[uuid.UUID, Path(alias="id")]) -> TaskView:
        task = tasks.get(task_id)
        if task is None:
            raise HTTPException(404, f"There is no task {task_id}.")
        return TaskView.model_validate(task)

    return router

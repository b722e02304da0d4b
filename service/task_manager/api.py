"""The task-manager's REST interface for reading tasks."""

import uuid
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query

from contracts import http
from service.common import problems
from service.common.views import TaskPage, TaskQuery, TaskView
from service.task_manager.use_cases import Tasks


def task_router(tasks: Tasks) -> APIRouter:
    """GET /api/tasks and /api/tasks/{id}."""
    router = APIRouter(tags=["tasks"])

    # Not async, like all routes that query the database: they must not block the event loop.
    @router.get(http.TASKS, summary="List tasks, newest first", responses=problems.documented(422, 503))
    def list_tasks(query: Annotated[TaskQuery, Query()]) -> TaskPage:
        # One task more than the limit shows whether there is another page. A page begins at a position, not at an
        # offset: new tasks shift nothing, and the last page costs no more than the first.
        listed = tasks.list(
            limit=query.limit + 1,
            after=query.after(),
            status=query.status,
        )
        shown = listed[: query.limit]
        has_more = len(listed) > len(shown)
        return TaskPage(
            items=[TaskView.model_validate(task) for task in shown],
            next=query.next((shown[-1].created_at, shown[-1].id)) if has_more else None,
        )

    @router.get(f"{http.TASKS}/{{id}}", summary="Read a task", responses=problems.documented(404, 422, 503))
    def read_task(task_id: Annotated[uuid.UUID, Path(alias="id")]) -> TaskView:
        task = tasks.get(task_id)
        if task is None:
            raise HTTPException(404, f"There is no task {task_id}.")
        return TaskView.model_validate(task)

    return router

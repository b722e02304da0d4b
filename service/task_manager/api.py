"""The task-manager's REST interface for reading tasks."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query

from contracts import http
from service.common import problems
from service.common.access import Caller, Guard, caller_of, guarded
from service.common.views import TaskPage, TaskQuery, TaskView
from service.task_manager.domain import Task
from service.task_manager.use_cases import Tasks


def task_router(tasks: Tasks, guard: Guard) -> APIRouter:
    """GET /api/tasks and /api/tasks/{id}."""
    router = APIRouter(tags=["tasks"], route_class=guarded(guard), dependencies=problems.credentials(guard))

    refusals = () if guard.is_open else (401,)

    # Not async, like all routes that query the database: they must not block the event loop.
    @router.get(http.TASKS, summary="List tasks, newest first", responses=problems.documented(*refusals, 422, 503))
    def list_tasks(query: Annotated[TaskQuery, Query()], caller: Annotated[Caller, Depends(caller_of)]) -> TaskPage:
        # One task more than the limit shows whether there is another page. A page begins at a position, not at an
        # offset: new tasks shift nothing, and the last page costs no more than the first.
        listed = tasks.list(
            limit=query.limit + 1,
            after=query.after(),
            status=query.status,
            owner=caller.readable_owner,
        )
        shown = listed[: query.limit]
        has_more = len(listed) > len(shown)
        return TaskPage(
            items=[_view(task, caller) for task in shown],
            next=query.next((shown[-1].created_at, shown[-1].id)) if has_more else None,
        )

    @router.get(f"{http.TASKS}/{{id}}", summary="Read a task", responses=problems.documented(*refusals, 404, 422, 503))
    def read_task(
        task_id: Annotated[uuid.UUID, Path(alias="id")], caller: Annotated[Caller, Depends(caller_of)]
    ) -> TaskView:
        task = tasks.get(task_id)
        # The same answer: a caller does not learn which tasks others have.
        if task is None or caller.readable_owner not in (None, task.owner):
            raise HTTPException(404, f"There is no task {task_id}.")
        return _view(task, caller)

    return router


def _view(task: Task, caller: Caller) -> TaskView:
    """The task as this caller may see it."""
    view = TaskView.model_validate(task)
    return view if caller.sees_address_of(task.owner) else view.model_copy(update={"user_email": None})

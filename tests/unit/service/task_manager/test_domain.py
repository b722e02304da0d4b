"""A task's transitions."""

import uuid
from datetime import timedelta

import pytest

from contracts.tasks import TaskStatus
from service.task_manager.domain import IllegalTransition, NewTask, Task
from tests.support.fakes import NOW

NEW = NewTask(id=uuid.UUID(int=7), user_email="ada@example.com", user_query="?", url="http://site.example/")


def test_no_task_ends_before_its_creation() -> None:
    for ended in (
        Task.create(NEW, NOW).complete({}, NOW - timedelta(seconds=2)),
        Task.create(NEW, NOW).fail("why", NOW - timedelta(days=400)),
    ):
        assert ended.updated_at == ended.created_at


def test_a_new_task_can_complete_or_fail_and_an_ended_one_does_not_change() -> None:
    later = NOW + timedelta(seconds=1)
    completed = Task.create(NEW, NOW).complete({"title": "x"}, later)
    failed = Task.create(NEW, NOW).fail("gone", later)
    assert (completed.status, completed.result, completed.updated_at) == (TaskStatus.COMPLETED, {"title": "x"}, later)
    assert (failed.status, failed.result) == (TaskStatus.ERROR, {"error": "gone"})
    for ended in (completed, failed):
        with pytest.raises(IllegalTransition, match="cannot become"):
            ended.complete(None, later)
        with pytest.raises(IllegalTransition):
            ended.fail("again", later)

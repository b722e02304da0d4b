"""Messages of the status topic become use cases; the tasks of dead-lettered messages end."""

import dataclasses
import uuid

import pytest

from contracts.tasks import TaskStatus
from service.common import messages
from service.common.errors import Rejected
from service.common.messages import CrawlRequest, Outgoing, TaskRequest
from service.task_manager.domain import NewTask, Task
from tests.support.fakes import NOW, FakeTaskManager
from tests.support.messages import received

TASK_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")
NEW = NewTask(id=TASK_ID, user_email="ada@example.com", user_query="?", url="http://site.example/")
BODY = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")


@pytest.fixture
def manager() -> FakeTaskManager:
    return FakeTaskManager()


def test_new_without_id_gets_the_same_one_when_delivered_again(manager: FakeTaskManager) -> None:
    message = messages.new(TASK_ID, BODY)
    nameless = Outgoing(topic=message.topic, key="", value=message.value, headers=(("status", b"new"),))
    assert manager.handle(received(nameless, 5)) == "created"
    assert manager.handle(received(nameless, 5)) == "duplicate"
    assert manager.handle(received(nameless, 6)) == "created"


def test_handler_runs_the_use_case_of_each_status(manager: FakeTaskManager) -> None:
    request = CrawlRequest(id=TASK_ID, task=BODY)
    assert manager.handle(received(messages.new(TASK_ID, BODY))) == "created"
    assert manager.handle(received(messages.completed(request, "page"))) == "completed"
    assert manager.handle(received(messages.completed(request, "page"))) == "duplicate"
    assert manager.handle(received(messages.failed(request, "gone"))) == "out_of_order"


def test_an_answer_to_no_task_and_a_second_task_of_one_id_are_rejected(manager: FakeTaskManager) -> None:
    request = CrawlRequest(id=TASK_ID, task=BODY)
    for answer in (messages.completed(request, "page"), messages.failed(request, "gone")):
        with pytest.raises(Rejected, match="no task"):
            manager.handle(received(answer))
    manager.handle(received(messages.new(TASK_ID, BODY)))
    with pytest.raises(Rejected, match="something else"):
        manager.handle(received(messages.new(TASK_ID, BODY.model_copy(update={"user_query": "other"}))))
    assert manager.observer.calls.count("unknown_task") == 2
    assert manager.observer.calls[-1] == "conflict"


def _status(manager: FakeTaskManager) -> TaskStatus | None:
    task = manager.tasks.stored.get(TASK_ID)
    return task.status if task else None


def test_a_dead_lettered_new_message_ends_its_task(manager: FakeTaskManager) -> None:
    message = received(messages.new(TASK_ID, BODY))
    manager.publisher.is_rejecting = True
    with pytest.raises(Rejected):
        manager.handle(message)
    assert _status(manager) is TaskStatus.NEW
    manager.handle.abandon(message, "Kafka does not take the message")
    assert manager.tasks.stored[TASK_ID].result == {
        "error": "the task could not be done: Kafka does not take the message"
    }


def test_a_new_message_that_was_never_stored_ends_as_an_error(manager: FakeTaskManager) -> None:
    manager.handle.abandon(received(messages.new(TASK_ID, BODY)), "the process ended 3 times")
    assert _status(manager) is TaskStatus.ERROR


@pytest.mark.parametrize(
    "message",
    [
        messages.completed(CrawlRequest(id=TASK_ID, task=BODY), {"title": "cannot be stored"}),
        messages.failed(CrawlRequest(id=TASK_ID, task=BODY), "cannot be stored"),
        dataclasses.replace(messages.completed(CrawlRequest(id=TASK_ID, task=BODY), 1), value=b"\xff"),
        dataclasses.replace(messages.completed(CrawlRequest(id=TASK_ID, task=BODY), 1), value=b"[" * 100_000),
        dataclasses.replace(
            messages.completed(CrawlRequest(id=TASK_ID, task=BODY), 1), headers=(("id", str(TASK_ID).encode()),)
        ),
    ],
)
def test_a_dead_lettered_answer_ends_its_task_unless_that_has_ended(
    message: Outgoing, manager: FakeTaskManager
) -> None:
    manager.cases.create(NEW)
    manager.handle.abandon(received(message), "why")
    assert _status(manager) is TaskStatus.ERROR
    manager.tasks.stored[TASK_ID] = Task.create(NEW, NOW).complete(None, NOW)
    manager.handle.abandon(received(message), "why")
    assert _status(manager) is TaskStatus.COMPLETED


@pytest.mark.parametrize(
    "message",
    [
        messages.new(TASK_ID, BODY.model_copy(update={"user_query": "other"})),
        dataclasses.replace(messages.new(TASK_ID, BODY), value=b"no JSON"),
        dataclasses.replace(messages.new(TASK_ID, BODY), headers=(("status", b"error"), ("id", b"4711"))),
        dataclasses.replace(messages.new(TASK_ID, BODY), headers=()),
    ],
)
def test_a_message_about_something_else_ends_no_task(message: Outgoing, manager: FakeTaskManager) -> None:
    manager.cases.create(NEW)
    manager.handle.abandon(received(message), "why")
    assert _status(manager) is TaskStatus.NEW

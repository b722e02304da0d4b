"""The ports' Kafka side: messages in become use cases, requests to crawl go out."""

from __future__ import annotations

import uuid

from service.common import messages
from service.common.errors import Rejected
from service.common.kafka import KafkaPublisher, Received
from service.common.messages import CompletedMessage, FailedMessage, NewMessage
from service.task_manager.domain import Task
from service.task_manager.use_cases import NewTask, Outcome, Tasks

# A task is stored before its page is asked for, so an answer to no task is no message that came too soon: it was never
# ours, or the database has lost its task. Kept aside, either can be looked into, and nothing waits behind it.
_PUT_ASIDE = {
    Outcome.UNKNOWN_TASK: "there is no task with the id of this answer",
    Outcome.CONFLICT: "there is a task with this id already, for something else",
}
_MESSAGE_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "task-status")


class CrawlRequests:
    """Publishes requests to crawl."""

    def __init__(self, publisher: KafkaPublisher) -> None:
        self._publisher = publisher

    def request_crawl(self, task: Task) -> None:
        """See `Publisher`."""
        body = messages.NewTask(user_email=task.user_email, user_query=task.user_query, base_url=task.original_url)
        self._publisher.publish(messages.crawl_request(task.id, body))


class StatusHandler:
    """Handles the messages of `task-status`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def __call__(self, received: Received) -> str:
        """Runs the use case of a message and returns its outcome. Raises Rejected or Unavailable."""
        outcome = self._run(received)
        if reason := _PUT_ASIDE.get(outcome):
            raise Rejected(reason)
        return outcome

    def _run(self, received: Received) -> Outcome:
        message = messages.read_status(received.headers, received.value)
        match message:
            case NewMessage(id=task_id, task=task):
                new = NewTask(
                    id=task_id or _id_of(received),
                    user_email=task.user_email,
                    user_query=task.user_query,
                    original_url=task.base_url,
                )
                return self._tasks.create(new)
            case CompletedMessage(id=task_id, result=result):
                return self._tasks.complete(task_id, result)
            case FailedMessage(id=task_id, error=error):
                return self._tasks.fail(task_id, error)


def _id_of(received: Received) -> uuid.UUID:
    # From the message's place, so that the same message delivered again means the same task.
    return uuid.uuid5(_MESSAGE_IDS, f"{received.topic}/{received.partition}/{received.offset}")

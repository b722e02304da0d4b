"""The ports' Kafka side: messages in become use cases, requests to crawl go out."""

from __future__ import annotations

import uuid

from service.common import messages
from service.common.errors import MalformedMessage, Misdirected
from service.common.kafka.publisher import KafkaPublisher
from service.common.kafka.received import Received
from service.common.messages import CompletedMessage, FailedMessage, NewMessage
from service.task_manager.domain import Task
from service.task_manager.use_cases import NewTask, Outcome, Tasks

# A task is stored before its page is asked for, so an answer to no task is no message that came too soon: it was never
# ours, or the database has lost its task. Kept aside, either can be looked into, and nothing waits behind it.
_PUT_ASIDE = {
    Outcome.UNKNOWN_TASK: "there is no task with the id of this answer",
    Outcome.CONFLICT: "there is a task with this id already, for something else",
}
_LONGEST_REASON = 500
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
            raise Misdirected(reason)
        return outcome

    def abandon(self, received: Received, reason: str) -> None:
        """Ends the task of a message that is dead-lettered, so that it does not stay new for ever. Raises Unavailable.

        A `new` message that cannot be read ends none: a task of its id was made by another message, and goes its way.
        """
        error = f"the task could not be done: {reason}"[:_LONGEST_REASON]
        try:
            message = messages.read_status(received.headers, received.value)
        except MalformedMessage:
            message = None
        if isinstance(message, NewMessage):
            self._tasks.abandon(_new_task(message, received), error)
            return
        task_id, status = messages.task_of(received.headers)
        if task_id is not None and status != messages.NEW:
            self._tasks.fail(task_id, error)

    def _run(self, received: Received) -> Outcome:
        message = messages.read_status(received.headers, received.value)
        match message:
            case NewMessage():
                return self._tasks.create(_new_task(message, received))
            case CompletedMessage(id=task_id, result=result):
                return self._tasks.complete(task_id, result)
            case FailedMessage(id=task_id, error=error):
                return self._tasks.fail(task_id, error)


def _new_task(message: NewMessage, received: Received) -> NewTask:
    return NewTask(
        id=message.id or _id_of(received),
        user_email=message.task.user_email,
        user_query=message.task.user_query,
        original_url=message.task.base_url,
    )


def _id_of(received: Received) -> uuid.UUID:
    # From the message's place, so that the same message delivered again means the same task.
    return uuid.uuid5(_MESSAGE_IDS, f"{received.topic}/{received.partition}/{received.offset}")

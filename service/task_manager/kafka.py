"""The Kafka adapters of the task-manager: messages become use cases, and requests to crawl are published."""

import uuid
from typing import Final

from contracts.tasks import TaskStatus
from service.common import messages
from service.common.errors import MalformedMessage, Misdirected
from service.common.kafka.publisher import KafkaPublisher
from service.common.kafka.received import Received
from service.common.messages import CompletedMessage, FailedMessage, NewMessage, TaskRequest
from service.task_manager.domain import NewTask, Task
from service.task_manager.use_cases import Outcome, Tasks

# A task is stored before its page is requested. So an answer without a task is not early: it belongs to another system,
# or the database has lost the task. As a dead letter it can be examined, and no message waits for it.
_DEAD_LETTER_REASONS: Final = {
    Outcome.UNKNOWN_TASK: "there is no task with the id of this answer",
    Outcome.CONFLICT: "there is a task with this id already, for something else",
}
_LONGEST_REASON: Final = 500
_MESSAGE_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "task-status")


class CrawlRequests:
    """Publishes requests to crawl; implements `Publisher`."""

    def __init__(self, publisher: KafkaPublisher) -> None:
        self._publisher = publisher

    def request_crawl(self, task: Task) -> None:
        request = TaskRequest(user_email=task.user_email, user_query=task.user_query, base_url=task.url)
        self._publisher.publish(messages.crawl_request(task.id, request))


class StatusHandler:
    """Handles the messages of `task-status`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def __call__(self, received: Received) -> str:
        """Runs the use case of a message and returns its outcome. Raises Rejected or Unavailable."""
        outcome = self._run(received)
        if reason := _DEAD_LETTER_REASONS.get(outcome):
            raise Misdirected(reason)
        return outcome

    def abandon(self, received: Received, reason: str) -> None:
        """Ends the task of a message that is dead-lettered, so that it does not stay new for ever. Raises Unavailable.

        A `new` message that cannot be read ends no task: another message may have created a task of the same id.
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
        if task_id is not None and status != TaskStatus.NEW:
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
        url=message.task.url,
        owner=message.owner,
    )


def _id_of(received: Received) -> uuid.UUID:
    # From the message's position, so that the same message delivered again means the same task.
    return uuid.uuid5(_MESSAGE_IDS, received.place)

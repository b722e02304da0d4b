"""Deletes a person's tasks, and the handled messages in Kafka. `./wct forget` runs it in a pod of the task-manager.

It reads the e-mail address from standard input, so that no list of processes and no audit log has it.
"""

import json
import os
import sys
from typing import Final

from contracts.services import TASK_MANAGER
from contracts.topics import CONSUMER_GROUPS, dead_letter_topic
from lean_tracing import Redactor, SettingsError, TracingSettings
from service.common.errors import Unavailable
from service.common.kafka.client import client_configuration
from service.common.kafka.handled import HandledMessages
from service.task_manager.config import TaskManagerSettings
from service.task_manager.postgres import SqlUnitOfWork, build_engine

_BATCH: Final = 500


def forget(settings: TaskManagerSettings, redactor: Redactor, address: str) -> dict[str, object]:
    """Deletes what can be deleted, and returns what was deleted and what remains.

    Args:
        settings: with the database and Kafka.
        redactor: knows the keyed hash under which traces and logs have the address.
        address: of the person.

    Raises:
        Unavailable: the database or Kafka does not answer.
    """
    database = SqlUnitOfWork(build_engine(settings.database_url.get_secret_value()))
    deleted = 0
    try:
        while True:
            with database.begin() as tasks:
                count = tasks.delete_of_user(address, limit=_BATCH)
            deleted += count
            if count < _BATCH:
                break
        with database.begin() as tasks:
            unended = tasks.count_of_user(address)
    finally:
        database.stop()
    messages = HandledMessages(client_configuration(settings, f"{TASK_MANAGER}-forget"))
    partitions = {topic: messages.delete(topic, group) for topic, group in CONSUMER_GROUPS.items()}
    topics = [name for topic in CONSUMER_GROUPS for name in (topic, dead_letter_topic(topic))]
    return {
        "hash": redactor.hash(address),
        "tasks_deleted": deleted,
        "tasks_not_ended": unended,
        "partitions_deleted": partitions,
        "retention_hours": {topic: messages.retention_hours(topic) for topic in topics},
    }


def main() -> int:
    """Runs the command; the exit code is 0, or 1 with a line on standard error."""
    try:
        settings = TaskManagerSettings.from_env(os.environ)
        tracing = TracingSettings.from_env(os.environ)
        redactor = Redactor(tracing.hash_key.get_secret_value() if tracing.hash_key else None)
        print(json.dumps(forget(settings, redactor, sys.stdin.readline().strip())))
    except (SettingsError, Unavailable) as error:
        print(f"forget: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

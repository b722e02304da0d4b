"""A task's status and its place in lists: the same in the domain, in messages, in the REST API and in the database."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Final

TABLE: Final = "web_crawl_tasks"
"""The table of tasks in the database."""


class TaskStatus(StrEnum):
    """The state of a task."""

    NEW = "new"
    COMPLETED = "completed"
    ERROR = "error"


Position = tuple[datetime, uuid.UUID]
"""A task's place in a list: its time of creation and its id."""

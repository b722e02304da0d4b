"""A task's status and its place in lists: the same in the domain, in messages, in the REST API and in the database."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Final

TABLE: Final = "web_crawl_tasks"
"""The table of tasks in the database."""

PROBE_USER: Final = "probe@example.com"
SMOKE_CHECK_USER: Final = "smoke@example.com"
SYNTHETIC_USERS: Final = (PROBE_USER, SMOKE_CHECK_USER)
"""Whose tasks are tests of the stack, not work of a user. The domain is reserved, so no person has these addresses."""

SYNTHETIC_TEST: Final = "test"
"""Value of the metrics' label `synthetic` for these tasks and their requests."""

REFUSED: Final = "cannot be fetched: the server accepts no connections"
"""The error of a task whose page's server refuses connections."""


class TaskStatus(StrEnum):
    """The state of a task."""

    NEW = "new"
    COMPLETED = "completed"
    ERROR = "error"


Position = tuple[datetime, uuid.UUID]
"""A task's place in a list: its time of creation and its id."""

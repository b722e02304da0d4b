"""The REST models of tasks and their lists, the same at the gateway and at the task-manager."""

import base64
import binascii
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts import http
from contracts.tasks import Position, TaskStatus

_TASK_ID = "3f0c1f6e-6f0b-4a58-9f6e-0d6f3f1c2b7a"


class TaskView(BaseModel):
    """A task, as a user sees it. `result` is the page, or `{"error": reason}`."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID = Field(examples=[_TASK_ID])
    user_email: str | None = Field(
        examples=["ada@example.com"], description="null if the caller may not see the address of another caller's task"
    )
    user_query: str = Field(examples=["What is on this page?"])
    url: str = Field(serialization_alias="original_url", examples=["https://example.com/"])
    status: TaskStatus
    result: Any = Field(
        examples=[{"url": "https://example.com/", "status_code": 200, "title": "Example Domain", "text": "…"}]
    )
    created_at: datetime
    updated_at: datetime


class TaskPage(BaseModel):
    """One page of the tasks, newest first. `next` is the link to the next page; null on the last page."""

    items: list[TaskView]
    next: str | None = Field(examples=["/api/tasks?limit=20&cursor=MjAyNi0wMS0wMlQwMzowNDowNS4wMDAwMDBaIDNmMGM"])


def cursor_of(position: Position) -> str:
    """The cursor, for a URL, of the page that begins after this position."""
    created_at, task_id = position
    text = f"{created_at.astimezone(UTC).replace(tzinfo=None).isoformat()} {task_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(cursor: str) -> Position:
    """The position in a cursor. Raises ValueError."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        created_at, _, task_id = text.partition(" ")
        position = datetime.fromisoformat(created_at).replace(tzinfo=UTC), uuid.UUID(task_id)
    except (binascii.Error, UnicodeError, ValueError, OverflowError):
        raise ValueError("not a cursor of an earlier page") from None
    return position


def _checked_cursor(cursor: str) -> str:
    position_of(cursor)
    return cursor


class TaskQuery(BaseModel):
    """The query of a list of tasks. Unknown parameters are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    limit: int = Field(20, ge=1, le=100, description="the largest number of tasks in the page")
    status: TaskStatus | None = Field(None, description="only tasks of this status")
    cursor: Annotated[str, AfterValidator(_checked_cursor)] | None = Field(
        None, max_length=200, description="from the `next` link of the previous page"
    )

    def after(self) -> Position | None:
        """The position after which the page begins; None for the first page."""
        return position_of(self.cursor) if self.cursor else None

    def next(self, last: Position) -> str:
        """The link to the page that begins after `last`."""
        query: dict[str, str | int] = {"limit": self.limit}
        if self.status:
            query["status"] = self.status
        return f"{http.TASKS}?{urlencode({**query, 'cursor': cursor_of(last)})}"

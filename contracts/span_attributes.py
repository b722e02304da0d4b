"""Attribute keys of spans and log records that are the project's own."""

from typing import Final

PREFIX: Final = "task"
"""Of the keys that the tracing library adds to those of OpenTelemetry's conventions, too."""

ACCESS_REFUSAL: Final = "task.access.refusal"
TASK_ID: Final = "task.id"
TASK_STATUS: Final = "task.status"
TASK_DURATION_MS: Final = "task.duration_ms"
TASK_USER_HASH: Final = "task.user_hash"

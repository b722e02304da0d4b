"""Names of the database and of its roles."""

from typing import Final

DATABASE: Final = "tasks"
ROLE: Final = "tasks"
"""The owner of the database and of its tables, as which migrations run."""
SERVICE_ROLE: Final = "task_manager"
"""The role of the task-manager where another one migrates: it reads and writes rows, and changes no table."""

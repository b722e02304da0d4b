"""Names of the database and of its role."""

from typing import Final

DATABASE: Final = "tasks"
ROLE: Final = "tasks"

"""The table of tasks. A change needs a migration; a test compares the two."""

from typing import Final

from sqlalchemy import JSON, Column, DateTime, Index, MetaData, String, Table, Text, Uuid, column, literal_column
from sqlalchemy.dialects import postgresql

from contracts.tasks import SYNTHETIC_USERS, TABLE

# Written out in the SQL: with parameters, Postgres could not see that the condition is the one of the index.
IS_SYNTHETIC: Final = column("user_email").in_([literal_column(f"'{user}'") for user in SYNTHETIC_USERS])
_OWNED: Final = column("owner").is_not(None)
metadata = MetaData()
tasks = Table(
    TABLE,
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_email", String(254), nullable=False),
    Column("user_query", Text, nullable=False),
    Column("original_url", Text, key="url", nullable=False),
    Column("status", String(16), nullable=False),
    Column("result", JSON().with_variant(postgresql.JSONB(), "postgresql")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("owner", String(300)),
    # For the two lists of tasks, all and by status; counts use the second index as well.
    Index("web_crawl_tasks_created", "created_at", "id"),
    Index("web_crawl_tasks_status_created", "status", "created_at", "id"),
    # For the list of one caller's tasks. Tasks from before access control have no owner, and no entry.
    Index("web_crawl_tasks_owner_created", "owner", "created_at", "id", postgresql_where=_OWNED, sqlite_where=_OWNED),
    # For the deletion and the count of the few that are tests. An insert of a user's task costs nothing more.
    Index("web_crawl_tasks_synthetic", "created_at", postgresql_where=IS_SYNTHETIC, sqlite_where=IS_SYNTHETIC),
)

"""The table of tasks. A change needs a migration; a test compares the two."""

from sqlalchemy import JSON, Column, DateTime, Index, MetaData, String, Table, Text, Uuid
from sqlalchemy.dialects import postgresql

from contracts.tasks import TABLE

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
    # For the two lists of tasks, all and by status; counts use the second index as well.
    Index("web_crawl_tasks_created", "created_at", "id"),
    Index("web_crawl_tasks_status_created", "status", "created_at", "id"),
)

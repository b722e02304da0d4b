"""The table of tasks. A change of it needs a migration beside it; a test holds the two together."""

from __future__ import annotations

from sqlalchemy import JSON, Column, DateTime, Index, MetaData, String, Table, Text, Uuid
from sqlalchemy.dialects import postgresql

metadata = MetaData()
tasks = Table(
    "web_crawl_tasks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_email", String(254), nullable=False),
    Column("user_query", Text, nullable=False),
    Column("original_url", Text, key="url", nullable=False),
    Column("status", String(16), nullable=False),
    Column("result", JSON().with_variant(postgresql.JSONB(), "postgresql")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    # The two ways tasks are listed: all, and by status; the counts use the second as well.
    Index("web_crawl_tasks_created", "created_at", "id"),
    Index("web_crawl_tasks_status_created", "status", "created_at", "id"),
)

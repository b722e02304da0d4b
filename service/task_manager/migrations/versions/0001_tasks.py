"""The table of tasks, as it was before the first migration."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "web_crawl_tasks",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_email", sa.String(254), nullable=False),
        sa.Column("user_query", sa.Text(), nullable=False),
        sa.Column("original_url", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("result", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("web_crawl_tasks_created", "web_crawl_tasks", ["created_at", "id"])
    op.create_index("web_crawl_tasks_status_created", "web_crawl_tasks", ["status", "created_at", "id"])


def downgrade() -> None:
    op.drop_table("web_crawl_tasks")

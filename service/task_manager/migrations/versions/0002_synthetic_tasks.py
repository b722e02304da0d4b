"""An index of the tasks that are tests of the stack.

Until it is built, tasks can be read and not written: about a second for a million of them. Messages wait in Kafka.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_INDEX = "web_crawl_tasks_synthetic"


def upgrade() -> None:
    condition = sa.text("user_email IN ('probe@example.com', 'smoke@example.com')")
    op.create_index(_INDEX, "web_crawl_tasks", ["created_at"], postgresql_where=condition, sqlite_where=condition)


def downgrade() -> None:
    op.drop_index(_INDEX, "web_crawl_tasks")

"""The caller who submitted a task, and an index of each caller's tasks.

Tasks from before have no owner: callers with the role `operator` or `support` read them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TABLE = "web_crawl_tasks"
_INDEX = "web_crawl_tasks_owner_created"


def upgrade() -> None:
    op.add_column(_TABLE, sa.Column("owner", sa.String(300)))
    condition = sa.text("owner IS NOT NULL")
    columns = ["owner", "created_at", "id"]
    op.create_index(_INDEX, _TABLE, columns, postgresql_where=condition, sqlite_where=condition)


def downgrade() -> None:
    op.drop_index(_INDEX, _TABLE)
    op.drop_column(_TABLE, "owner")

"""The level of a waiting task, as a function shared by the queue's statements.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TASK_LEVEL = """
-- A task rises by one level for every six hours that it waits, see rules/order.py.
CREATE FUNCTION task_level(priority integer, since timestamptz, now timestamptz)
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT priority + GREATEST(FLOOR(date_part('epoch', now - since) / 21600)::int, 0)
$$;
"""


def upgrade() -> None:
    """Create the function."""
    op.get_bind().exec_driver_sql(TASK_LEVEL)


def downgrade() -> None:
    """Refuse to go back: an older program needs an older backup.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("migrations are not undone; restore a backup instead")

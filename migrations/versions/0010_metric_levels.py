"""Levels of metric series with fewer pieces below each piece, computed again when they are read.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FORGET = """
-- There is one more level now, which the summaries of series are read from.
DELETE FROM metric_levels;
DELETE FROM metric_rollups;
"""


def upgrade() -> None:
    """Delete the levels, which are computed from the points of a task when they are needed."""
    op.get_bind().exec_driver_sql(FORGET)


def downgrade() -> None:
    """Refuse to go back: an older program needs an older backup.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("migrations are not undone; restore a backup instead")

"""An index for the tasks of a project that have a name, newest first.

Revision ID: 0029
"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.get_bind().exec_driver_sql(
        "CREATE INDEX ix_tasks_project_name ON tasks (project_id, name, id)"
    )


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

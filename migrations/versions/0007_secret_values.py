"""A clearer name for the column that holds encrypted secrets.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename the column."""
    op.get_bind().exec_driver_sql("ALTER TABLE secrets RENAME COLUMN sealed TO value")


def downgrade() -> None:
    """Refuse to go back: an older program needs an older backup.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("migrations are not undone; restore a backup instead")

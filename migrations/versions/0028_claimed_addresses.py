"""Which addresses are only their holders' word.

Revision ID: 0028
"""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Of addresses from before it is not known, and they count as they did."""
    op.get_bind().exec_driver_sql(
        "ALTER TABLE user_security ADD COLUMN email_claimed boolean NOT NULL DEFAULT false"
    )


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

"""Remember refresh tokens that were withdrawn, to recognise them when they are shown later.

Revision ID: 0037
"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE auth_tokens ADD COLUMN withdrawn_at timestamptz;
"""


def upgrade() -> None:
    """Add the column. What was withdrawn before has expired already."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

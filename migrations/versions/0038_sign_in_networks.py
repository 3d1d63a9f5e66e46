"""Index the sessions of an account by address, to recognise where it signs in from.

Revision ID: 0038
"""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE INDEX ix_auth_sessions_user_address ON auth_sessions (user_id, ip_address);
"""


def upgrade() -> None:
    """Create the index."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

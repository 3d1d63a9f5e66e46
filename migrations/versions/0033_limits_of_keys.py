"""Remember the limits of the API key with which tasks, schedules and sweeps were ordered.

Revision ID: 0033
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE task_scheduling ADD COLUMN personal_secrets boolean NOT NULL DEFAULT true;
ALTER TABLE schedules ADD COLUMN key_id bigint;
ALTER TABLE sweeps ADD COLUMN key_id bigint;
"""


def upgrade() -> None:
    """Add the columns. What was ordered before keeps the permissions that it had."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

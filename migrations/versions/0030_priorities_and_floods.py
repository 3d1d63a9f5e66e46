"""How high the priority of a project's tasks may be, and how much a run elsewhere may still print.

Revision ID: 0030
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE project_quotas
    ADD COLUMN max_priority integer CHECK (max_priority BETWEEN 5 AND 10);
ALTER TABLE external_runs
    ADD COLUMN log_allowance double precision,
    ADD COLUMN log_filled_at timestamptz,
    ADD COLUMN log_lost_bytes bigint NOT NULL DEFAULT 0;
"""


def upgrade() -> None:
    """Add the columns. Projects keep the platform's limit, runs have their whole allowance."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

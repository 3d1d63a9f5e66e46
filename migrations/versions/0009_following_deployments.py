"""The alias that a deployment follows.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

FOLLOWS = """
ALTER TABLE deployments ADD COLUMN follows varchar(160);

CREATE INDEX ix_deployments_follows ON deployments (follows) WHERE follows IS NOT NULL;
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(FOLLOWS)


def downgrade() -> None:
    """Refuse to go back: an older program needs an older backup.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("migrations are not undone; restore a backup instead")

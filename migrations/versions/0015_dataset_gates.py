"""The quality gate of each project.

Revision ID: 0015
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

GATES = """
CREATE TABLE dataset_gates (
    project_id integer PRIMARY KEY REFERENCES projects(id) ON DELETE CASCADE,
    gate jsonb NOT NULL
);
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(GATES)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

"""Quality reports are kept, also those that a newer one of the same version took the place of.

Revision ID: 0023
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

REPORTS = """
CREATE TABLE quality_reports_made (
    id bigserial PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    version_id integer NOT NULL REFERENCES dataset_versions(id) ON DELETE CASCADE,
    report jsonb NOT NULL,
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX ix_quality_reports_made_version ON quality_reports_made (version_id, id);
INSERT INTO quality_reports_made (version_id, report, task_id, created_at)
SELECT version_id, report, task_id, created_at FROM quality_reports ORDER BY created_at;
"""


def upgrade() -> None:
    """Create the table, and put the reports there that exist."""
    op.get_bind().exec_driver_sql(REPORTS)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

"""Audit trail verifications that users requested, with their results.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

AUDIT_VERIFICATIONS = """
CREATE TABLE audit_verifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    user_id integer REFERENCES users(id) ON DELETE SET NULL,
    user_uuid uuid,
    username varchar(50),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    result jsonb,
    error text
);

-- At most one runs at a time.
CREATE UNIQUE INDEX ux_audit_verifications_running ON audit_verifications ((true))
    WHERE ended_at IS NULL;
CREATE INDEX ix_audit_verifications_user ON audit_verifications (user_id);
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(AUDIT_VERIFICATIONS)


def downgrade() -> None:
    """Refuse to go back, which would delete the results.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("the table of verifications is not dropped; restore a backup instead")

"""Uploads that can be resumed, while they are under way and for a day after.

Revision ID: 0017
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

UPLOADS = """
CREATE TABLE dataset_uploads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    length bigint NOT NULL CHECK (length >= 0),
    facts jsonb NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'receiving'
        CHECK (status IN ('receiving', 'committed', 'refused')),
    result jsonb,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ix_dataset_uploads_expires ON dataset_uploads (expires_at);
CREATE INDEX ix_dataset_uploads_project ON dataset_uploads (project_id);
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(UPLOADS)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

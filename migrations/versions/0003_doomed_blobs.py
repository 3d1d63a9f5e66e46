"""Files whose blob is gone, until they go too.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DOOMED = """
CREATE TABLE doomed_blobs (
    sha256 varchar(64) PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL,
    doomed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ix_doomed_blobs_doomed ON doomed_blobs (doomed_at);
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(DOOMED)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

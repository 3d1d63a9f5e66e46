"""Files of dataset versions in parts, so that a version stores only what it changed.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE version_files (
    dataset_version_id integer NOT NULL REFERENCES dataset_versions(id) ON DELETE CASCADE,
    path varchar(500) NOT NULL,
    sha256 varchar(64) NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL,
    PRIMARY KEY (dataset_version_id, path)
);

CREATE TABLE version_parts (
    dataset_version_id integer NOT NULL,
    path varchar(500) NOT NULL,
    start bigint NOT NULL,
    size integer NOT NULL CHECK (size > 0),
    content varchar(64) NOT NULL CHECK (content ~ '^[0-9a-f]{64}$'),
    blobs jsonb NOT NULL,
    PRIMARY KEY (dataset_version_id, path, start),
    FOREIGN KEY (dataset_version_id, path)
        REFERENCES version_files (dataset_version_id, path) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    """Create the tables. Versions stored before keep their files as single blobs."""
    op.get_bind().exec_driver_sql(TABLES)


def downgrade() -> None:
    """Refused: these tables say what the stored parts are parts of.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

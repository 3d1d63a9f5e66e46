"""Tags of dataset versions, and numbers of versions that are never given twice.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TAGS = """
CREATE TABLE dataset_tags (
    dataset_id integer NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
    name varchar(50) NOT NULL,
    version_id integer NOT NULL REFERENCES dataset_versions(id) ON DELETE CASCADE,
    moved_by integer REFERENCES users(id) ON DELETE SET NULL,
    moved_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (dataset_id, name)
);
CREATE INDEX ix_dataset_tags_version ON dataset_tags (version_id);
CREATE INDEX ix_dataset_versions_parent ON dataset_versions (parent_version_id);

ALTER TABLE dataset_details ADD COLUMN last_number integer NOT NULL DEFAULT 0;
"""


def upgrade() -> None:
    """Create them."""
    op.get_bind().exec_driver_sql(TAGS)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

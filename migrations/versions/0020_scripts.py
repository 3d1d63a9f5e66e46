"""Code bundles, and the files that tasks leave.

Revision ID: 0020
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

SCRIPTS = """
CREATE TABLE code_bundles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    sha256 varchar(64) NOT NULL,
    size bigint NOT NULL,
    files integer NOT NULL,
    unpacked_bytes bigint NOT NULL,
    source jsonb,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX ix_code_bundles_project ON code_bundles (project_id, id);
CREATE INDEX ix_code_bundles_author ON code_bundles (created_by);

ALTER TABLE blob_refs
    ADD COLUMN task_id integer REFERENCES tasks(id) ON DELETE CASCADE,
    ADD COLUMN bundle_id bigint REFERENCES code_bundles(id) ON DELETE CASCADE,
    DROP CONSTRAINT blob_refs_one_owner,
    ADD CONSTRAINT blob_refs_one_owner CHECK (
        num_nonnulls(
            dataset_version_id, model_id, checkpoint_id, log_task_id, task_id, bundle_id
        ) = 1
    );
CREATE UNIQUE INDEX ux_blob_refs_task ON blob_refs (task_id, path) WHERE task_id IS NOT NULL;
CREATE UNIQUE INDEX ux_blob_refs_bundle ON blob_refs (bundle_id, path)
    WHERE bundle_id IS NOT NULL;
"""


def upgrade() -> None:
    """Create the table and the two kinds of owners."""
    op.get_bind().exec_driver_sql(SCRIPTS)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

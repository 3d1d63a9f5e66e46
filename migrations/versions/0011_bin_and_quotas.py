"""The bin of deleted projects, datasets and models; quotas of projects.

What is in the bin keeps its row. A deleted project has the status ``deleted``; a deleted dataset or
model belongs to a project of that status that nobody owns, so that whatever is selected by project
does not see it.

Revision ID: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIN = """
CREATE TABLE bin_home (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    project_id integer NOT NULL REFERENCES projects(id)
);

CREATE TABLE bin_entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resource_uuid uuid NOT NULL UNIQUE,
    kind varchar(20) NOT NULL CHECK (kind IN ('project', 'dataset', 'model')),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    dataset_id integer UNIQUE REFERENCES datasets(id) ON DELETE CASCADE,
    model_id integer UNIQUE REFERENCES models(id) ON DELETE CASCADE,
    name varchar(255) NOT NULL,
    version varchar(50),
    shared boolean NOT NULL DEFAULT false,
    was_status varchar(50),
    deleted_by integer REFERENCES users(id) ON DELETE SET NULL,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    purge_after timestamptz NOT NULL,
    CHECK ((kind = 'dataset') = (dataset_id IS NOT NULL)),
    CHECK ((kind = 'model') = (model_id IS NOT NULL))
);
CREATE INDEX ix_bin_entries_project ON bin_entries (project_id, id);
CREATE INDEX ix_bin_entries_purge_after ON bin_entries (purge_after);
CREATE UNIQUE INDEX ux_bin_entries_project ON bin_entries (project_id) WHERE kind = 'project';
"""

QUOTAS = """
CREATE TABLE project_quotas (
    project_id integer PRIMARY KEY REFERENCES projects(id) ON DELETE CASCADE,
    storage_bytes bigint CHECK (storage_bytes >= 0),
    concurrent_tasks integer CHECK (concurrent_tasks >= 0),
    gpus integer CHECK (gpus >= 0),
    updated_by integer REFERENCES users(id) ON DELETE SET NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE project_storage (
    project_id integer PRIMARY KEY REFERENCES projects(id) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    """Create the tables; the project that the bin is comes with the first deletion."""
    for statements in (BIN, QUOTAS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

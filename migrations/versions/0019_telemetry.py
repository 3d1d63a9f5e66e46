"""Logs with levels and overflow, telemetry of tasks and machines, usage, traces.

Revision ID: 0019
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

LOGS = """
-- level: the highest of the chunk's lines; levels: from which line on which level, as pairs;
-- segment: what of the log lies in a blob instead, see server/tasks/runner/output.py.
ALTER TABLE log_chunks
    ADD COLUMN level smallint NOT NULL DEFAULT 0,
    ADD COLUMN levels jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN segment jsonb;

ALTER TABLE blob_refs
    ADD COLUMN log_task_id integer REFERENCES tasks(id) ON DELETE CASCADE,
    DROP CONSTRAINT blob_refs_check,
    ADD CONSTRAINT blob_refs_one_owner
        CHECK (num_nonnulls(dataset_version_id, model_id, checkpoint_id, log_task_id) = 1);
CREATE UNIQUE INDEX ux_blob_refs_log ON blob_refs (log_task_id, path)
    WHERE log_task_id IS NOT NULL;
"""

TELEMETRY = """
-- A row holds a minute: samples has the values of all keys, sample by sample.
CREATE TABLE task_telemetry (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    began timestamptz NOT NULL,
    step_seconds real NOT NULL,
    keys text[] NOT NULL,
    samples real[] NOT NULL,
    PRIMARY KEY (task_id, attempt, began)
);
CREATE INDEX ix_task_telemetry_began ON task_telemetry (began);

CREATE TABLE worker_telemetry (
    worker_id integer NOT NULL REFERENCES workers(id) ON DELETE CASCADE,
    began timestamptz NOT NULL,
    step_seconds real NOT NULL,
    keys text[] NOT NULL,
    samples real[] NOT NULL,
    PRIMARY KEY (worker_id, began)
);
CREATE INDEX ix_worker_telemetry_began ON worker_telemetry (began);

CREATE TABLE attempt_usage (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    seconds double precision NOT NULL,
    cpus double precision NOT NULL,
    gpus jsonb NOT NULL,
    cost double precision,
    PRIMARY KEY (task_id, attempt)
);

CREATE TABLE worker_figures (
    worker_id integer PRIMARY KEY REFERENCES workers(id) ON DELETE CASCADE,
    figures jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


def upgrade() -> None:
    """Create the tables and add to those of logs and blobs."""
    op.get_bind().exec_driver_sql(LOGS)
    op.get_bind().exec_driver_sql(TELEMETRY)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

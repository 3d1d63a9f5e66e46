"""Pausing, preemption, time limits, back-off, dependencies, idempotent submission.

Revision ID: 0014
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

CONTROL = """
ALTER TABLE task_scheduling
    ADD COLUMN preemptible boolean NOT NULL DEFAULT false,
    ADD COLUMN time_limit_seconds integer,
    ADD COLUMN retry_seconds double precision NOT NULL DEFAULT 10,
    ADD COLUMN stop_wanted varchar(10) CHECK (stop_wanted IN ('pause', 'preempt')),
    ADD COLUMN retry_of integer REFERENCES tasks(id) ON DELETE SET NULL,
    ADD COLUMN blockers integer NOT NULL DEFAULT 0 CHECK (blockers >= 0);
CREATE INDEX ix_task_scheduling_retry_of ON task_scheduling (retry_of) WHERE retry_of IS NOT NULL;

CREATE TABLE task_dependencies (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    needs_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    condition varchar(10) NOT NULL CHECK (condition IN ('ok', 'any')),
    settled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (task_id, needs_id),
    -- A task can only wait for one that was there before it, so there are no circles.
    CHECK (needs_id < task_id)
);
CREATE INDEX ix_task_dependencies_needs ON task_dependencies (needs_id) WHERE NOT settled;

CREATE TABLE task_submissions (
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    key varchar(200) NOT NULL,
    request_hash varchar(64) NOT NULL,
    answer jsonb,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (project_id, key)
);
CREATE INDEX ix_task_submissions_created ON task_submissions (created_at);

-- A task that waits for others is not in the queue.
CREATE OR REPLACE FUNCTION task_scheduling_copies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT t.project_id, t.priority, COALESCE(NEW.since, t.created_at, CURRENT_TIMESTAMP),
           t.status = 'pending' AND t.project_id IS NOT NULL AND NEW.blockers = 0
    INTO NEW.project_id, NEW.priority, NEW.since, NEW.waiting
    FROM tasks t WHERE t.id = NEW.task_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER task_scheduling_unblocks BEFORE UPDATE OF blockers ON task_scheduling
    FOR EACH ROW EXECUTE FUNCTION task_scheduling_copies();
CREATE OR REPLACE FUNCTION tasks_tell_scheduling() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE task_scheduling
    SET project_id = NEW.project_id, priority = NEW.priority,
        waiting = NEW.status = 'pending' AND NEW.project_id IS NOT NULL AND blockers = 0
    WHERE task_id = NEW.id;
    RETURN NULL;
END
$$;
"""


def upgrade() -> None:
    """Add to the side tables."""
    op.get_bind().exec_driver_sql(CONTROL)


def downgrade() -> None:
    """Refused: side tables hold what the twelve tables can't.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

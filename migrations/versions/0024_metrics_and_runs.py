"""Metrics at scale: levels for charts, no look-up per point; runs that execute elsewhere.

Revision ID: 0024
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

POINTS = """
-- A foreign key looks its task up once per point, which cost a third of the ingest. Whoever writes
-- points holds a lock on the task, and what a deleted task leaves goes by trigger.
ALTER TABLE metric_points DROP CONSTRAINT metric_points_task_id_fkey;

-- What charts are drawn from: of each piece of a series its extremes, as [value, step, seconds]
-- (high: [value, -step, seconds], nan: [step, seconds]), so that the least and the greatest array
-- are those of the pieces together. A piece reaches from first_step to the next one's.
CREATE TABLE metric_levels (
    task_id integer NOT NULL,
    key varchar(200) NOT NULL,
    level smallint NOT NULL,
    first_step bigint NOT NULL,
    points bigint NOT NULL,
    low double precision[],
    high double precision[],
    nan double precision[],
    PRIMARY KEY (task_id, key, level, first_step)
);
-- Up to which point the levels of a task have seen its points. Whoever moves it waits for no task,
-- so that who ends a task may wait for it.
CREATE TABLE metric_rollups (
    task_id integer PRIMARY KEY,
    up_to bigint NOT NULL DEFAULT 0
);

CREATE FUNCTION tasks_forget_points() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM metric_points WHERE task_id = OLD.id;
    DELETE FROM metric_levels WHERE task_id = OLD.id;
    DELETE FROM metric_rollups WHERE task_id = OLD.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER tasks_forget_points AFTER DELETE ON tasks
    FOR EACH ROW EXECUTE FUNCTION tasks_forget_points();
"""

RUNS = """
-- Runs that execute elsewhere. renewals counts what was heard of them, so no clock is compared.
CREATE TABLE external_runs (
    task_id integer PRIMARY KEY REFERENCES tasks(id) ON DELETE CASCADE,
    project_id integer REFERENCES projects(id) ON DELETE SET NULL,
    client_id varchar(64),
    renewals bigint NOT NULL DEFAULT 0,
    given_up boolean NOT NULL DEFAULT false,
    UNIQUE (project_id, client_id)
) WITH (fillfactor = 50);

-- How far each writer's numbered records were taken in, so that none is taken in twice.
CREATE TABLE run_writers (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    writer uuid NOT NULL,
    taken bigint NOT NULL,
    PRIMARY KEY (task_id, writer)
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    """Add tables, and replace a foreign key by a trigger."""
    for statements in (POINTS, RUNS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

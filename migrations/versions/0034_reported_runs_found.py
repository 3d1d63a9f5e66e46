"""Runs that execute elsewhere, and trainings without an experiment, are found as runs are.

Revision ID: 0034
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

TRIGGERS = """
-- A run is a training, or what executes elsewhere and is reported; it may have no experiment. The
-- config of what is reported is inside its task's, beside facts of its machine.
CREATE FUNCTION run_config(type text, config jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN type = 'external' THEN config -> 'config' ELSE config END
$$;

CREATE OR REPLACE FUNCTION runs_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO run_details (task_id, project_id, experiment_id)
    VALUES (NEW.id, NEW.project_id, NEW.experiment_id);
    INSERT INTO run_facts (owner_id, project_id, path, number, word)
    SELECT NEW.id, NEW.project_id, f.path, f.number, f.word
    FROM facts_of('config', run_config(NEW.type, NEW.config)) f
    WHERE num_nonnulls(f.number, f.word) = 1;
    RETURN NULL;
END
$$;
DROP TRIGGER tasks_are_runs ON tasks;
CREATE TRIGGER tasks_are_runs AFTER INSERT ON tasks FOR EACH ROW
    WHEN (NEW.type IN ('training', 'external') AND NEW.project_id IS NOT NULL)
    EXECUTE FUNCTION runs_begin();
"""

FILL = """
WITH new_runs AS (
    SELECT t.id, t.project_id, t.experiment_id, run_config(t.type, t.config) AS config,
           t.status IN ('completed', 'failed', 'cancelled') AS has_ended,
           CASE WHEN jsonb_typeof(s.result) = 'object' THEN s.result ELSE '{}' END AS result
    FROM tasks t JOIN task_scheduling s ON s.task_id = t.id
    WHERE t.type IN ('training', 'external') AND t.project_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM run_details d WHERE d.task_id = t.id)
), made AS (
    -- The result of a reported run holds a summary of each series, and the last value in it.
    INSERT INTO run_details (task_id, project_id, experiment_id, metrics)
    SELECT n.id, n.project_id, n.experiment_id,
           CASE WHEN n.has_ended THEN
                COALESCE((SELECT jsonb_object_agg(m.key, m.value -> 'last')
                          FROM jsonb_each(CASE WHEN jsonb_typeof(n.result -> 'metrics') = 'object'
                                          THEN n.result -> 'metrics' END) m
                          WHERE jsonb_typeof(m.value) = 'object' AND m.value ? 'last'), '{}')
                || COALESCE((SELECT jsonb_object_agg(r.key, r.value) FROM jsonb_each(n.result) r
                             WHERE jsonb_typeof(r.value) = 'number'), '{}')
           ELSE '{}' END
    FROM new_runs n
    RETURNING task_id, project_id, metrics
)
INSERT INTO run_facts (owner_id, project_id, path, number, word)
SELECT d.task_id, d.project_id, f.path, f.number, f.word
FROM made d JOIN new_runs n ON n.id = d.task_id, LATERAL (
    SELECT * FROM facts_of('config', n.config)
    UNION ALL SELECT * FROM facts_of('metrics', d.metrics)
) f
WHERE num_nonnulls(f.number, f.word) = 1;
"""


def upgrade() -> None:
    """Widen what counts as a run, and enter the runs that are there."""
    for statements in (TRIGGERS, FILL):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

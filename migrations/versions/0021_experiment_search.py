"""Experiments with tags, notes and an archive; runs with figures and a record; search over both.

Revision ID: 0021
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE experiment_details
    ADD COLUMN note text,
    ADD COLUMN archived_at timestamptz,
    ADD COLUMN cloned_from integer REFERENCES experiments(id) ON DELETE SET NULL;
CREATE INDEX ix_experiment_details_archived ON experiment_details (experiment_id)
    WHERE archived_at IS NOT NULL;

CREATE TABLE experiment_tags (
    experiment_id integer NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    tag varchar(50) NOT NULL,
    PRIMARY KEY (experiment_id, tag)
);
CREATE INDEX ix_experiment_tags_tag ON experiment_tags (tag, experiment_id);

-- A run is a training of an experiment: what the queue does not know of it.
CREATE TABLE run_details (
    task_id integer PRIMARY KEY REFERENCES tasks(id) ON DELETE CASCADE,
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    experiment_id integer REFERENCES experiments(id) ON DELETE SET NULL,
    metrics jsonb NOT NULL DEFAULT '{}',
    record jsonb NOT NULL DEFAULT '{}',
    rerun_of integer REFERENCES tasks(id) ON DELETE SET NULL
);
CREATE INDEX ix_run_details_project ON run_details (project_id, task_id);
CREATE INDEX ix_run_details_experiment ON run_details (experiment_id, task_id);
CREATE INDEX ix_run_details_rerun_of ON run_details (rerun_of) WHERE rerun_of IS NOT NULL;

-- What is searched and sorted by: each number, text and truth value of config and metrics by its
-- path. A value is a number or a word; a row has one of them.
CREATE TABLE experiment_facts (
    owner_id integer NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    project_id integer NOT NULL,
    path varchar(300) NOT NULL,
    number double precision,
    word varchar(300),
    PRIMARY KEY (owner_id, path)
);
CREATE INDEX ix_experiment_facts_number ON experiment_facts (project_id, path, number, owner_id)
    WHERE number IS NOT NULL;
CREATE INDEX ix_experiment_facts_word ON experiment_facts (project_id, path, word, owner_id)
    WHERE word IS NOT NULL;
CREATE STATISTICS st_experiment_facts (ndistinct, mcv) ON project_id, path FROM experiment_facts;

CREATE TABLE run_facts (
    owner_id integer NOT NULL REFERENCES run_details(task_id) ON DELETE CASCADE,
    project_id integer NOT NULL,
    path varchar(300) NOT NULL,
    number double precision,
    word varchar(300),
    PRIMARY KEY (owner_id, path)
);
CREATE INDEX ix_run_facts_number ON run_facts (project_id, path, number, owner_id)
    WHERE number IS NOT NULL;
CREATE INDEX ix_run_facts_word ON run_facts (project_id, path, word, owner_id)
    WHERE word IS NOT NULL;
CREATE STATISTICS st_run_facts (ndistinct, mcv) ON project_id, path FROM run_facts;
"""

TRIGGERS = """
-- The leaves of a document by their paths. Lists are left out: they have no one value. NaN and
-- infinities are stored as texts.
CREATE FUNCTION facts_of(prefix text, document jsonb)
RETURNS TABLE (path text, number double precision, word text) LANGUAGE sql IMMUTABLE AS $$
    WITH RECURSIVE inner_values AS (
        SELECT prefix AS path, document AS value
        UNION ALL
        SELECT o.path || '.' || e.key, e.value
        FROM inner_values o,
             jsonb_each(CASE WHEN jsonb_typeof(o.value) = 'object' THEN o.value END) e
    ), leaves AS (
        SELECT i.path, i.value, jsonb_typeof(i.value) AS kind, i.value #>> '{}' AS content
        FROM inner_values i
        WHERE jsonb_typeof(i.value) IN ('number', 'string', 'boolean') AND length(i.path) <= 300
        LIMIT 500
    )
    SELECT l.path,
           CASE WHEN l.kind = 'number' THEN
                    CASE WHEN abs(l.content::numeric) < 1e300 THEN l.content::double precision END
                WHEN l.content IN ('NaN', 'Infinity', '-Infinity')
                THEN l.content::double precision END,
           CASE WHEN l.kind <> 'number' AND l.content NOT IN ('NaN', 'Infinity', '-Infinity')
                THEN left(l.content, 300) END
    FROM leaves l
$$;

CREATE FUNCTION experiments_tell_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM experiment_facts WHERE owner_id = NEW.id;
    IF NEW.project_id IS NOT NULL THEN
        INSERT INTO experiment_facts (owner_id, project_id, path, number, word)
        SELECT NEW.id, NEW.project_id, f.path, f.number, f.word
        FROM (SELECT * FROM facts_of('config', NEW.config)
              UNION ALL SELECT * FROM facts_of('metrics', NEW.metrics)) f
        WHERE num_nonnulls(f.number, f.word) = 1;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER experiments_facts_new AFTER INSERT ON experiments
    FOR EACH ROW EXECUTE FUNCTION experiments_tell_facts();
CREATE TRIGGER experiments_facts_changed
    AFTER UPDATE OF config, metrics, project_id ON experiments FOR EACH ROW
    WHEN ((OLD.config, OLD.metrics, OLD.project_id)
          IS DISTINCT FROM (NEW.config, NEW.metrics, NEW.project_id))
    EXECUTE FUNCTION experiments_tell_facts();

CREATE FUNCTION runs_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO run_details (task_id, project_id, experiment_id)
    VALUES (NEW.id, NEW.project_id, NEW.experiment_id);
    INSERT INTO run_facts (owner_id, project_id, path, number, word)
    SELECT NEW.id, NEW.project_id, f.path, f.number, f.word FROM facts_of('config', NEW.config) f
    WHERE num_nonnulls(f.number, f.word) = 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER tasks_are_runs AFTER INSERT ON tasks FOR EACH ROW
    WHEN (NEW.type = 'training' AND NEW.experiment_id IS NOT NULL AND NEW.project_id IS NOT NULL)
    EXECUTE FUNCTION runs_begin();

CREATE FUNCTION runs_tell_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM run_facts WHERE owner_id = NEW.task_id AND starts_with(path, 'metrics.');
    INSERT INTO run_facts (owner_id, project_id, path, number, word)
    SELECT NEW.task_id, NEW.project_id, f.path, f.number, f.word
    FROM facts_of('metrics', NEW.metrics) f
    WHERE num_nonnulls(f.number, f.word) = 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER run_details_facts AFTER UPDATE OF metrics ON run_details FOR EACH ROW
    WHEN (OLD.metrics IS DISTINCT FROM NEW.metrics) EXECUTE FUNCTION runs_tell_facts();
"""

FILL = """
INSERT INTO experiment_facts (owner_id, project_id, path, number, word)
SELECT e.id, e.project_id, f.path, f.number, f.word
FROM experiments e, LATERAL (
    SELECT * FROM facts_of('config', e.config)
    UNION ALL SELECT * FROM facts_of('metrics', e.metrics)
) f
WHERE e.project_id IS NOT NULL AND num_nonnulls(f.number, f.word) = 1;

INSERT INTO run_details (task_id, project_id, experiment_id, metrics)
SELECT t.id, t.project_id, t.experiment_id,
       COALESCE((SELECT jsonb_object_agg(r.key, r.value)
                 FROM jsonb_each(CASE WHEN jsonb_typeof(s.result) = 'object' THEN s.result END) r
                 WHERE jsonb_typeof(r.value) = 'number'), '{}')
FROM tasks t JOIN task_scheduling s ON s.task_id = t.id
WHERE t.type = 'training' AND t.experiment_id IS NOT NULL AND t.project_id IS NOT NULL;

INSERT INTO run_facts (owner_id, project_id, path, number, word)
SELECT d.task_id, d.project_id, f.path, f.number, f.word
FROM run_details d JOIN tasks t ON t.id = d.task_id, LATERAL (
    SELECT * FROM facts_of('config', t.config)
    UNION ALL SELECT * FROM facts_of('metrics', d.metrics)
) f
WHERE num_nonnulls(f.number, f.word) = 1;
"""


def upgrade() -> None:
    """Add to the side tables, and enter what is there."""
    for statements in (TABLES, TRIGGERS, FILL):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

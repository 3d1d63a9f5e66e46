"""The scheduler: the queue's order, fair shares, reservations, what workers offer.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

QUEUE = """
ALTER TABLE task_scheduling
    ADD COLUMN gpu_memory_mb integer NOT NULL DEFAULT 0,
    ADD COLUMN labels jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN project_id integer,
    ADD COLUMN priority integer,
    ADD COLUMN since timestamptz,
    ADD COLUMN waiting boolean NOT NULL DEFAULT false;

-- What the queue is sorted by stands in one row, so that one narrow index has the order. The tasks
-- table stays the truth: whoever changes it, by whatever way, changes these copies with it.
CREATE FUNCTION task_scheduling_copies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT t.project_id, t.priority, COALESCE(NEW.since, t.created_at, CURRENT_TIMESTAMP),
           t.status = 'pending' AND t.project_id IS NOT NULL
    INTO NEW.project_id, NEW.priority, NEW.since, NEW.waiting
    FROM tasks t WHERE t.id = NEW.task_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER task_scheduling_copies BEFORE INSERT ON task_scheduling
    FOR EACH ROW EXECUTE FUNCTION task_scheduling_copies();

CREATE FUNCTION tasks_tell_scheduling() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE task_scheduling
    SET project_id = NEW.project_id, priority = NEW.priority,
        waiting = NEW.status = 'pending' AND NEW.project_id IS NOT NULL
    WHERE task_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER tasks_tell_scheduling AFTER UPDATE ON tasks FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.priority IS DISTINCT FROM NEW.priority
          OR OLD.project_id IS DISTINCT FROM NEW.project_id)
    EXECUTE FUNCTION tasks_tell_scheduling();

UPDATE task_scheduling s
SET project_id = t.project_id, priority = t.priority,
    since = COALESCE(t.created_at, CURRENT_TIMESTAMP),
    waiting = t.status = 'pending' AND t.project_id IS NOT NULL
FROM tasks t WHERE t.id = s.task_id;

DROP INDEX ix_tasks_queue_order;
CREATE INDEX ix_task_scheduling_queue
    ON task_scheduling (queue, project_id, priority, since, task_id) WHERE waiting;
"""

USAGE = """
-- Core-seconds that a project used, each half-life ago counting half; see rules/order.py.
CREATE TABLE project_usage (
    project_id integer PRIMARY KEY,
    usage double precision NOT NULL DEFAULT 0,
    rate double precision NOT NULL DEFAULT 0,
    running integer NOT NULL DEFAULT 0,
    gpus integer NOT NULL DEFAULT 0,
    as_of timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION decayed_usage(
    usage double precision, rate double precision, as_of timestamptz, now timestamptz
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- PostgreSQL takes it for an error when a product is too small to be told from nothing.
    SELECT CASE WHEN usage < 1e-100 THEN 0 ELSE usage * power(2.0::float8, -halvings) END
           + rate * 86400 / ln(2.0::float8) * (1 - power(2.0::float8, -halvings))
    FROM (SELECT LEAST(GREATEST(
        EXTRACT(EPOCH FROM now - as_of)::float8 / 86400, 0), 50) AS halvings) AS x
$$;

CREATE FUNCTION usage_share(
    usage double precision, rate double precision, as_of timestamptz, now timestamptz
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT decayed_usage(usage, rate, as_of, now) + rate * 3600
$$;

CREATE FUNCTION usage_rate(cpus double precision, memory_mb integer, gpus integer)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT GREATEST(cpus, memory_mb::float8 / 4096, gpus::float8 * 8, 0.1)
$$;

-- Leases begin and end on many paths; usage follows them wherever they do.
CREATE FUNCTION task_leases_count_usage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lease task_leases := CASE WHEN TG_OP = 'INSERT' THEN NEW ELSE OLD END;
    sign integer := CASE WHEN TG_OP = 'INSERT' THEN 1 ELSE -1 END;
    n integer := jsonb_array_length(lease.gpu_indices);
    r double precision := usage_rate(lease.cpus, lease.memory_mb, n);
BEGIN
    IF lease.project_id IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO project_usage AS u (project_id, rate, running, gpus)
    VALUES (lease.project_id, GREATEST(sign * r, 0), GREATEST(sign, 0), GREATEST(sign * n, 0))
    ON CONFLICT (project_id) DO UPDATE SET
        usage = decayed_usage(u.usage, u.rate, u.as_of, clock_timestamp()),
        -- Sums of floats drift; nothing running is exactly nothing.
        rate = CASE WHEN u.running + sign <= 0 THEN 0 ELSE GREATEST(u.rate + sign * r, 0) END,
        running = GREATEST(u.running + sign, 0),
        gpus = GREATEST(u.gpus + sign * n, 0),
        as_of = clock_timestamp();
    RETURN NULL;
END
$$;
CREATE TRIGGER task_leases_count_usage AFTER INSERT OR DELETE ON task_leases
    FOR EACH ROW EXECUTE FUNCTION task_leases_count_usage();
INSERT INTO project_usage (project_id, rate, running, gpus)
SELECT project_id, sum(usage_rate(cpus, memory_mb, jsonb_array_length(gpu_indices))), count(*),
       sum(jsonb_array_length(gpu_indices))
FROM task_leases WHERE project_id IS NOT NULL GROUP BY project_id;
"""

WORKERS = """
ALTER TABLE workers
    ADD COLUMN labels jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN devices jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN load jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN state varchar(20) NOT NULL DEFAULT 'active'
        CHECK (state IN ('active', 'cordoned', 'draining')),
    ADD COLUMN state_changed_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP;
-- Workers of before knew how many GPUs they have and nothing else of them.
UPDATE workers SET devices = COALESCE(
    (SELECT jsonb_agg(jsonb_build_object('id', n::text, 'memory_mb', 0, 'name', ''))
     FROM generate_series(0, gpus - 1) AS n), '[]');

-- A worker's promise to the first task that does not fit yet. runners: [task, fence] of those that
-- ran when it was made; no clock is compared.
CREATE TABLE task_reservations (
    worker_id integer PRIMARY KEY REFERENCES workers(id) ON DELETE CASCADE,
    task_id integer NOT NULL UNIQUE REFERENCES tasks(id) ON DELETE CASCADE,
    runners jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


def upgrade() -> None:
    """Add to the side tables."""
    for statements in (QUEUE, USAGE, WORKERS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    """Refused: side tables hold what the twelve tables can't.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

"""Tasks over several nodes: the gang of an attempt, and the workers that joined it.

Revision ID: 0026
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

NODES = """
ALTER TABLE task_scheduling ADD COLUMN nodes integer NOT NULL DEFAULT 1
    CHECK (nodes BETWEEN 1 AND 64);

-- Stands while an attempt over several nodes holds its lease, and goes with it.
CREATE TABLE task_gangs (
    task_id integer PRIMARY KEY REFERENCES task_leases(task_id) ON DELETE CASCADE,
    fence bigint NOT NULL,
    nodes integer NOT NULL,
    state varchar(10) NOT NULL DEFAULT 'gathering'
        CHECK (state IN ('gathering', 'gathered', 'running')),
    endpoint text
);
CREATE INDEX ix_task_gangs_gathering ON task_gangs (task_id) WHERE state = 'gathering';

-- Who joined: node 0 is whoever holds the lease and has no row here.
CREATE TABLE task_nodes (
    task_id integer NOT NULL REFERENCES task_gangs(task_id) ON DELETE CASCADE,
    node integer NOT NULL CHECK (node >= 1),
    worker_id integer NOT NULL REFERENCES workers(id) ON DELETE CASCADE,
    project_id integer,
    attempt integer NOT NULL,
    fence bigint NOT NULL,
    cpus double precision NOT NULL,
    memory_mb integer NOT NULL,
    gpu_indices jsonb NOT NULL DEFAULT '[]',
    state varchar(10) NOT NULL DEFAULT 'joined'
        CHECK (state IN ('joined', 'ready', 'leaving', 'failed')),
    report jsonb,
    renewals bigint NOT NULL DEFAULT 0,
    acquired_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (task_id, node),
    UNIQUE (task_id, worker_id)
);
CREATE INDEX ix_task_nodes_worker ON task_nodes (worker_id);

-- All that workers hold, as node 0 of a task or as another.
CREATE VIEW held_leases AS
SELECT worker_id, task_id, fence, attempt, cpus, memory_mb, gpu_indices, acquired_at
FROM task_leases
UNION ALL
SELECT worker_id, task_id, fence, attempt, cpus, memory_mb, gpu_indices, acquired_at
FROM task_nodes;

-- A project uses what all nodes of its tasks hold; the task itself counts once, by its lease.
CREATE FUNCTION task_nodes_count_usage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held task_nodes := CASE WHEN TG_OP = 'INSERT' THEN NEW ELSE OLD END;
    sign integer := CASE WHEN TG_OP = 'INSERT' THEN 1 ELSE -1 END;
    n integer := jsonb_array_length(held.gpu_indices);
    r double precision := usage_rate(held.cpus, held.memory_mb, n);
BEGIN
    UPDATE project_usage AS u SET
        usage = decayed_usage(u.usage, u.rate, u.as_of, clock_timestamp()),
        rate = GREATEST(u.rate + sign * r, 0),
        gpus = GREATEST(u.gpus + sign * n, 0),
        as_of = clock_timestamp()
    WHERE project_id = held.project_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER task_nodes_count_usage AFTER INSERT OR DELETE ON task_nodes
    FOR EACH ROW EXECUTE FUNCTION task_nodes_count_usage();
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(NODES)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

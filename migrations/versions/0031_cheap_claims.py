"""What a claim costs the database.

What a project used becomes an expression that PostgreSQL puts in place of the call; a function that
selects from something is run as a statement of its own for each row. A task that a claim has marked
as not waiting is not written twice.

Whenever a table is vacuumed or analyzed, every worker plans what it knew about it anew, which takes
as long as three claims. By PostgreSQL's own thresholds that came each minute, for tables that are
small and change all the time. Rows that are only updated leave nothing that a vacuum must clear
away, given room on their page; the others wait until there is something to gain.

Revision ID: 0031
"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE FUNCTION usage_left(as_of timestamptz, now timestamptz)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT power(2.0::float8,
        -LEAST(GREATEST(date_part('epoch', now - as_of) / 86400, 0), 50))
$$;

CREATE OR REPLACE FUNCTION decayed_usage(
    usage double precision, rate double precision, as_of timestamptz, now timestamptz
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- PostgreSQL takes it for an error when a product is too small to be told from nothing.
    SELECT CASE WHEN usage < 1e-100 THEN 0 ELSE usage * usage_left(as_of, now) END
           + rate * 86400 / ln(2.0::float8) * (1 - usage_left(as_of, now))
$$;

CREATE OR REPLACE FUNCTION tasks_tell_scheduling() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE task_scheduling
    SET project_id = NEW.project_id, priority = NEW.priority,
        waiting = NEW.status = 'pending' AND NEW.project_id IS NOT NULL AND blockers = 0
    WHERE task_id = NEW.id AND (project_id, priority, waiting) IS DISTINCT FROM (
        NEW.project_id, NEW.priority,
        NEW.status = 'pending' AND NEW.project_id IS NOT NULL AND blockers = 0);
    RETURN NULL;
END
$$;

ALTER TABLE workers SET (
    fillfactor = 50, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_threshold = 5000);
ALTER TABLE project_usage SET (
    fillfactor = 50, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_threshold = 5000);
ALTER TABLE task_leases SET (
    autovacuum_vacuum_threshold = 1000, autovacuum_analyze_threshold = 5000);
ALTER TABLE task_attempts SET (
    autovacuum_vacuum_insert_threshold = 10000, autovacuum_analyze_threshold = 5000);
ALTER TABLE task_events SET (
    autovacuum_vacuum_insert_threshold = 10000, autovacuum_analyze_threshold = 5000);
"""


def upgrade() -> None:
    """Replace the functions, and say when the queue's busy tables are vacuumed."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

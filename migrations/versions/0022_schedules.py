"""Submissions that recur by the calendar, and what came of each time.

Revision ID: 0022
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

SCHEDULES = """
CREATE TABLE schedules (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    cron varchar(100) NOT NULL,
    timezone varchar(64) NOT NULL,
    action jsonb NOT NULL,
    missed varchar(10) NOT NULL CHECK (missed IN ('run_once', 'skip')),
    overlap varchar(10) NOT NULL CHECK (overlap IN ('skip', 'allow')),
    enabled boolean NOT NULL,
    next_at timestamptz,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (project_id, name),
    CHECK (enabled = (next_at IS NOT NULL))
);
CREATE INDEX ix_schedules_due ON schedules (next_at) WHERE enabled;

CREATE TABLE schedule_firings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schedule_id integer NOT NULL REFERENCES schedules(id) ON DELETE CASCADE,
    due_at timestamptz NOT NULL,
    fired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome varchar(20) NOT NULL
        CHECK (outcome IN ('submitted', 'overlapped', 'missed', 'refused')),
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    code varchar(50),
    reason text,
    reason_zh text
);
CREATE INDEX ix_schedule_firings_schedule ON schedule_firings (schedule_id, id);
CREATE INDEX ix_schedule_firings_task ON schedule_firings (task_id) WHERE task_id IS NOT NULL;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SCHEDULES)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

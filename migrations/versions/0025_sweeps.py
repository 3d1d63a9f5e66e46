"""Hyper-parameter sweeps and their trials.

Revision ID: 0025
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

SWEEPS = """
CREATE TABLE sweeps (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    experiment_id integer NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    name varchar(200) NOT NULL,
    spec jsonb NOT NULL,
    status varchar(20) NOT NULL
        CHECK (status IN ('running', 'completed', 'failed', 'cancelled')),
    error text,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    ended_at timestamptz,
    UNIQUE (project_id, name)
);
CREATE INDEX ix_sweeps_running ON sweeps (id) WHERE status = 'running';
CREATE INDEX ix_sweeps_experiment ON sweeps (experiment_id);

CREATE TABLE sweep_trials (
    sweep_id integer NOT NULL REFERENCES sweeps(id) ON DELETE CASCADE,
    number integer NOT NULL CHECK (number >= 0),
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    params jsonb NOT NULL,
    state varchar(20) NOT NULL CHECK (state IN
        ('running', 'paused', 'resuming', 'completed', 'pruned', 'failed', 'cancelled')),
    value double precision,
    rungs jsonb NOT NULL DEFAULT '[]',
    error text,
    PRIMARY KEY (sweep_id, number)
);
CREATE INDEX ix_sweep_trials_task ON sweep_trials (task_id) WHERE task_id IS NOT NULL;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(SWEEPS)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

"""Indexes that the claim reads: lines by queue, priority and project, and the oldest of each level.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEXES = """
DROP INDEX ix_task_scheduling_queue;
CREATE INDEX ix_task_scheduling_lines
    ON task_scheduling (queue, priority, project_id, since, task_id) WHERE waiting;
CREATE INDEX ix_task_scheduling_oldest ON task_scheduling (queue, priority, since) WHERE waiting;
-- Lists of a project's tasks by status or type, newest first.
CREATE INDEX ix_tasks_project_status ON tasks (project_id, status, id);
CREATE INDEX ix_tasks_project_type ON tasks (project_id, type, id);
"""


def upgrade() -> None:
    """Replace one index by two, and add those of lists."""
    op.get_bind().exec_driver_sql(INDEXES)


def downgrade() -> None:
    """Refused: side tables hold what the twelve tables can't.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

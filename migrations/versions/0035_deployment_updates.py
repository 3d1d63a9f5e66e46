"""Updates of deployments: the server that is to take over, and those that finish their answers.

Revision ID: 0035
"""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE deployments
    ADD COLUMN next_task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    ADD COLUMN next_model_id integer REFERENCES models(id) ON DELETE SET NULL,
    ADD COLUMN next_spec jsonb,
    ADD COLUMN update_error text;
CREATE INDEX ix_deployments_next_task ON deployments (next_task_id);

CREATE TABLE deployment_retirements (
    task_id integer PRIMARY KEY REFERENCES tasks(id) ON DELETE CASCADE,
    deployment_id integer NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,
    endpoint_token varchar(100) NOT NULL,
    retired_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ix_deployment_retirements_deployment ON deployment_retirements (deployment_id);
"""


def upgrade() -> None:
    """Add the columns and the table."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Refused, as in 0013.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("downgrading is not supported: restore a backup")

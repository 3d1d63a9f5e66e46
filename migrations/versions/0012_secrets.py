"""Secrets of users and projects.

Revision ID: 0012
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SECRETS = """
CREATE TABLE secrets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    user_id integer REFERENCES users(id) ON DELETE CASCADE,
    project_id integer REFERENCES projects(id) ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    kind varchar(20) NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_used_at timestamptz,
    CHECK (num_nonnulls(user_id, project_id) = 1)
);
CREATE UNIQUE INDEX ux_secrets_user ON secrets (user_id, name) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX ux_secrets_project ON secrets (project_id, name)
    WHERE project_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(SECRETS)


def downgrade() -> None:
    """Refused: secrets could not be had again.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

"""Invitations into projects, which the invited person accepts or declines.

Revision ID: 0036
"""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE project_invitations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    user_id integer REFERENCES users(id) ON DELETE CASCADE,
    username varchar(50) NOT NULL,
    role_id integer NOT NULL REFERENCES roles(id) ON DELETE CASCADE,
    invited_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (project_id, username)
);
CREATE INDEX project_invitations_by_user ON project_invitations (user_id, id);
CREATE INDEX project_invitations_by_role ON project_invitations (role_id);
CREATE INDEX project_invitations_by_inviter ON project_invitations (invited_by);
"""


def upgrade() -> None:
    """Create the table. Members stay members."""
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

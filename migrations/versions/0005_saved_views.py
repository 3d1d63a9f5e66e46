"""Saved views: the filters, sort order and columns of a list, saved under a name.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SAVED_VIEWS = """
CREATE TABLE saved_views (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    page varchar(20) NOT NULL,
    name varchar(100) NOT NULL,
    state jsonb NOT NULL,
    shared boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (project_id, user_id, page, name)
);

CREATE INDEX ix_saved_views_user ON saved_views (user_id);
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(SAVED_VIEWS)


def downgrade() -> None:
    """Refuse to go back, which would delete the views.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("the table of saved views is not dropped; restore a backup instead")

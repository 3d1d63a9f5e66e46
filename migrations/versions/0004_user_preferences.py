"""Language and theme of the web interface, for each account.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

USER_PREFERENCES = """
CREATE TABLE user_preferences (
    user_id integer PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    language varchar(2) CHECK (language IN ('en', 'zh')),
    theme varchar(6) CHECK (theme IN ('light', 'dark', 'system'))
);
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(USER_PREFERENCES)


def downgrade() -> None:
    """Refuse to go back, which would delete the preferences.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("the table of preferences is not dropped; restore a backup instead")

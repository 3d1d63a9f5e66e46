"""Language and theme of the web interface, for each account.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
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
    """Drop the table."""
    op.get_bind().exec_driver_sql("DROP TABLE user_preferences")

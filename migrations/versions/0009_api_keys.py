"""API keys: what a program shows in a person's stead.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEYS = """
CREATE TABLE api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    project_id integer REFERENCES projects(id) ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    prefix varchar(20) NOT NULL,
    key_hash bytea NOT NULL UNIQUE,
    scopes jsonb NOT NULL CHECK (jsonb_typeof(scopes) = 'array'),
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoke_reason varchar(50)
);
CREATE UNIQUE INDEX uq_api_keys_name ON api_keys (user_id, name) WHERE revoked_at IS NULL;
CREATE INDEX ix_api_keys_user ON api_keys (user_id, id);
CREATE INDEX ix_api_keys_project ON api_keys (project_id) WHERE project_id IS NOT NULL;

-- Whoever deactivates an account, and by whatever program: its keys do not come back with it.
CREATE FUNCTION revoke_keys_of_inactive_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_keys SET revoked_at = clock_timestamp(), revoke_reason = 'deactivated'
        WHERE user_id = NEW.id AND revoked_at IS NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER users_revoke_keys AFTER UPDATE OF is_active ON users
    FOR EACH ROW WHEN (NEW.is_active IS NOT TRUE)
    EXECUTE FUNCTION revoke_keys_of_inactive_user();
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(KEYS)


def downgrade() -> None:
    """Refused: the keys would be lost.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

"""Single sign-on: who somebody is at the provider, and sign-ins that are under way.

Revision ID: 0016
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE sso_identities (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    issuer text NOT NULL,
    subject text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (issuer, subject)
);
CREATE INDEX ix_sso_identities_user ON sso_identities (user_id);

-- One row per sign-in: begun, back from the provider, exchanged. Secrets rest as hashes.
CREATE TABLE sso_logins (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state_hash bytea NOT NULL UNIQUE,
    browser_hash bytea NOT NULL,
    redirect_uri text NOT NULL,
    client_state text NOT NULL,
    code_challenge varchar(43) NOT NULL,
    expires_at timestamptz NOT NULL,
    returned_at timestamptz,
    code_hash bytea UNIQUE,
    user_id integer REFERENCES users(id) ON DELETE CASCADE,
    code_expires_at timestamptz,
    exchanged_at timestamptz
);
CREATE INDEX ix_sso_logins_expires ON sso_logins (expires_at);
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(TABLES)


def downgrade() -> None:
    """Refused: accounts could not be found again.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

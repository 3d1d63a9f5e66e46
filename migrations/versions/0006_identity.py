"""Accounts in full: failed sign-ins, invitations, links that reset a password, second factors.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Failures are counted here and not in the audit trail, which grows to millions of rows. An address
# is a network: a whole /64 of IPv6 is one customer's.
FAILURES = """
ALTER TABLE user_security DROP COLUMN failed_logins, DROP COLUMN last_failed_at;

CREATE TABLE login_failures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account varchar(16) NOT NULL,
    address cidr,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ix_login_failures_account ON login_failures (account, failed_at);
CREATE INDEX ix_login_failures_address ON login_failures (address, failed_at);
CREATE INDEX ix_login_failures_failed ON login_failures (failed_at);
"""

SESSIONS = """
ALTER TABLE auth_sessions ADD COLUMN last_seen_at timestamptz;
"""

# An invitation is worth what its maker could still give, so it goes with them.
INVITATIONS = """
CREATE TABLE invitations (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    token_hash bytea NOT NULL UNIQUE,
    email varchar(100) NOT NULL,
    role varchar(20) NOT NULL,
    project_id integer REFERENCES projects(id) ON DELETE CASCADE,
    project_role_id integer REFERENCES roles(id) ON DELETE CASCADE,
    created_by integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by integer REFERENCES users(id) ON DELETE SET NULL,
    revoked_at timestamptz,
    CHECK ((project_id IS NULL) = (project_role_id IS NULL))
);
"""

RESETS = """
CREATE TABLE password_resets (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ix_password_resets_user ON password_resets (user_id);
"""

SECOND_FACTORS = """
CREATE TABLE user_totp (
    user_id integer PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    seed bytea NOT NULL,
    confirmed_at timestamptz,
    last_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE recovery_codes (
    user_id integer NOT NULL REFERENCES user_totp(user_id) ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    PRIMARY KEY (user_id, code_hash)
);
"""


def upgrade() -> None:
    """Create the tables."""
    for statements in (FAILURES, SESSIONS, INVITATIONS, RESETS, SECOND_FACTORS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    """Refused: second factors would be lost.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

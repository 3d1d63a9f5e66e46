"""Notifications: order of commits, preferences, devices, mail, webhooks and their deliveries.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INBOX = """
-- Serial order is not commit order. Readers that go on from a position order by the transaction and
-- read below the oldest one that still runs.
ALTER TABLE notification_details
    ADD COLUMN transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX ix_notification_details_position
    ON notification_details (transaction_id, notification_id);
CREATE INDEX ix_notifications_user ON notifications (user_id, id);

CREATE TABLE notification_settings (
    user_id integer PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    email varchar(10) NOT NULL DEFAULT 'immediate'
        CHECK (email IN ('off', 'immediate', 'hourly', 'daily')),
    language varchar(2) NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'zh')),
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE notification_preferences (
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    type varchar(50) NOT NULL,
    inbox boolean NOT NULL,
    email boolean NOT NULL,
    PRIMARY KEY (user_id, type)
);

CREATE TABLE user_devices (
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    device bytea NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (user_id, device)
);
"""

MAIL = """
CREATE TABLE outgoing_mail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    recipient varchar(320) NOT NULL,
    kind varchar(50) NOT NULL,
    content bytea,
    status varchar(10) NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    error text,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    next_attempt_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    locked_until timestamptz,
    ended_at timestamptz
);
CREATE INDEX ix_outgoing_mail_due ON outgoing_mail (next_attempt_at) WHERE status = 'pending';
CREATE INDEX ix_outgoing_mail_ended ON outgoing_mail (ended_at) WHERE status <> 'pending';

CREATE TABLE notification_digests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    type varchar(50) NOT NULL,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    due_at timestamptz NOT NULL
);
CREATE INDEX ix_notification_digests_due ON notification_digests (due_at);
CREATE INDEX ix_notification_digests_user ON notification_digests (user_id, id);
"""

WEBHOOKS = """
CREATE TABLE webhooks (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    project_uuid uuid NOT NULL,
    name varchar(100) NOT NULL,
    url text NOT NULL,
    events jsonb NOT NULL DEFAULT '[]',
    is_enabled boolean NOT NULL DEFAULT true,
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_until timestamptz,
    failing_since timestamptz,
    disabled_reason varchar(50),
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (project_id, name)
);
CREATE INDEX ix_webhooks_project_uuid ON webhooks (project_uuid);

CREATE TABLE webhook_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    webhook_id integer NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
    type varchar(50) NOT NULL,
    body text NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    next_attempt_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    locked_until timestamptz,
    ended_at timestamptz,
    replay_of uuid
);
CREATE INDEX ix_webhook_deliveries_due ON webhook_deliveries (next_attempt_at, id)
    WHERE status = 'pending';
CREATE INDEX ix_webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX ix_webhook_deliveries_ended ON webhook_deliveries (ended_at)
    WHERE status <> 'pending';

CREATE TABLE webhook_attempts (
    delivery_id bigint NOT NULL REFERENCES webhook_deliveries(id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms integer,
    status_code integer,
    error text,
    response text,
    PRIMARY KEY (delivery_id, attempt)
);
"""


def upgrade() -> None:
    """Create the tables."""
    for statements in (INBOX, MAIL, WEBHOOKS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    """Refused, as in 0002.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

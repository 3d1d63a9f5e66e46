"""The platform's tables besides the contract's twelve, with indexes, functions and triggers.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IDENTITY = """
CREATE TABLE user_security (
    user_id integer PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    must_change_password boolean NOT NULL DEFAULT false,
    password_changed_at timestamptz,
    email_claimed boolean NOT NULL DEFAULT false
);

CREATE TABLE auth_sessions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    refreshed_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    ip_address inet,
    user_agent text,
    ended_at timestamptz,
    end_reason varchar(50),
    last_seen_at timestamptz
);

CREATE INDEX ix_auth_sessions_user ON auth_sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX ix_auth_sessions_user_address ON auth_sessions (user_id, ip_address);

-- Withdrawn refresh tokens are kept, so that one that is presented later is recognised as stolen.
CREATE TABLE auth_tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id bigint NOT NULL REFERENCES auth_sessions(id) ON DELETE CASCADE,
    kind varchar(10) NOT NULL CHECK (kind IN ('access', 'refresh')),
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    withdrawn_at timestamptz
);

CREATE INDEX ix_auth_tokens_session ON auth_tokens (session_id);
CREATE INDEX ix_auth_tokens_expires ON auth_tokens (expires_at);

-- Failed sign-ins are counted here and not in the audit trail, which grows to millions of rows. An
-- address is a network: a customer usually has a whole /64 of IPv6.
CREATE TABLE login_failures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account varchar(16) NOT NULL,
    address cidr,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX ix_login_failures_account ON login_failures (account, failed_at);
CREATE INDEX ix_login_failures_address ON login_failures (address, failed_at);
CREATE INDEX ix_login_failures_failed ON login_failures (failed_at);

-- An invitation grants only what its author could grant, so it is deleted with the author.
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

CREATE TABLE password_resets (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamptz NOT NULL
);

CREATE INDEX ix_password_resets_user ON password_resets (user_id);

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

CREATE TABLE user_devices (
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    device bytea NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (user_id, device)
);

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

-- Keys of a deactivated account stay revoked when it is activated again. A trigger does it, so that
-- it also holds for accounts that another program deactivates.
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

CREATE TABLE sso_identities (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    issuer text NOT NULL,
    subject text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (issuer, subject)
);

CREATE INDEX ix_sso_identities_user ON sso_identities (user_id);

-- A row for each sign-in: begun, returned from the provider, exchanged for tokens. Secrets are
-- stored as hashes.
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

BLOBS = """
CREATE TABLE blobs (
    sha256 varchar(64) PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    touched_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX ix_blobs_touched ON blobs (touched_at);

-- Files whose row in `blobs` has been deleted and that garbage collection deletes after a grace
-- period.
CREATE TABLE doomed_blobs (
    sha256 varchar(64) PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL,
    doomed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX ix_doomed_blobs_doomed ON doomed_blobs (doomed_at);

CREATE TABLE task_checkpoints (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    step bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (task_id, attempt, step)
);

CREATE TABLE code_bundles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    sha256 varchar(64) NOT NULL,
    size bigint NOT NULL,
    files integer NOT NULL,
    unpacked_bytes bigint NOT NULL,
    source jsonb,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX ix_code_bundles_project ON code_bundles (project_id, id);
CREATE INDEX ix_code_bundles_author ON code_bundles (created_by);

CREATE TABLE blob_refs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 varchar(64) NOT NULL REFERENCES blobs(sha256),
    project_id integer REFERENCES projects(id) ON DELETE CASCADE,
    dataset_version_id integer REFERENCES dataset_versions(id) ON DELETE CASCADE,
    model_id integer REFERENCES models(id) ON DELETE CASCADE,
    checkpoint_id bigint REFERENCES task_checkpoints(id) ON DELETE CASCADE,
    path varchar(500) NOT NULL,
    log_task_id integer REFERENCES tasks(id) ON DELETE CASCADE,
    task_id integer REFERENCES tasks(id) ON DELETE CASCADE,
    bundle_id bigint REFERENCES code_bundles(id) ON DELETE CASCADE,
    CONSTRAINT blob_refs_one_owner CHECK (
        num_nonnulls(
            dataset_version_id, model_id, checkpoint_id, log_task_id, task_id, bundle_id
        ) = 1
    )
);

CREATE INDEX ix_blob_refs_sha256 ON blob_refs (sha256);
CREATE INDEX ix_blob_refs_project ON blob_refs (project_id);
CREATE UNIQUE INDEX ux_blob_refs_version ON blob_refs (dataset_version_id, path)
    WHERE dataset_version_id IS NOT NULL;
CREATE UNIQUE INDEX ux_blob_refs_model ON blob_refs (model_id, path) WHERE model_id IS NOT NULL;
CREATE UNIQUE INDEX ux_blob_refs_checkpoint ON blob_refs (checkpoint_id, path)
    WHERE checkpoint_id IS NOT NULL;
CREATE UNIQUE INDEX ux_blob_refs_log ON blob_refs (log_task_id, path)
    WHERE log_task_id IS NOT NULL;
CREATE UNIQUE INDEX ux_blob_refs_task ON blob_refs (task_id, path) WHERE task_id IS NOT NULL;
CREATE UNIQUE INDEX ux_blob_refs_bundle ON blob_refs (bundle_id, path)
    WHERE bundle_id IS NOT NULL;
"""

AUDIT = """
-- The contract's table has no column for the outcome. An entry also repeats time, action and user
-- of its row, so that the rows of a project are found in their order. The number of a deleted user
-- stays; nobody else gets it.
CREATE TABLE audit_entries (
    audit_id integer PRIMARY KEY REFERENCES audit_logs(id),
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_uuid uuid,
    outcome varchar(20) NOT NULL DEFAULT 'success'
        CHECK (outcome IN ('success', 'denied', 'failure')),
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP,
    action varchar(100),
    user_id integer
);

ALTER TABLE audit_logs ADD CONSTRAINT ck_audit_logs_dated CHECK (created_at IS NOT NULL);

CREATE INDEX ix_audit_logs_created ON audit_logs (created_at, id);
CREATE INDEX ix_audit_logs_user ON audit_logs (user_id, created_at, id);
CREATE INDEX ix_audit_logs_user_action ON audit_logs (user_id, action, created_at, id);
CREATE INDEX ix_audit_logs_action ON audit_logs (action, created_at, id);
CREATE INDEX ix_audit_logs_type ON audit_logs (resource_type, created_at, id);
CREATE INDEX ix_audit_logs_resource ON audit_logs (resource_id, created_at, id)
    WHERE resource_id IS NOT NULL;
CREATE INDEX ix_audit_logs_address ON audit_logs (ip_address, created_at, id);
CREATE INDEX ix_audit_logs_gone_uuid ON audit_logs ((details #>> '{actor,uuid}'), created_at, id)
    WHERE user_id IS NULL;
CREATE INDEX ix_audit_logs_gone_name
    ON audit_logs ((details #>> '{actor,username}'), created_at, id) WHERE user_id IS NULL;
CREATE INDEX ix_audit_logs_words ON audit_logs
    USING gin (jsonb_to_tsvector('simple', details, '["string", "numeric"]'));
CREATE INDEX ix_audit_entries_project ON audit_entries (project_uuid, created_at, audit_id)
    WHERE project_uuid IS NOT NULL;
CREATE INDEX ix_audit_entries_project_action
    ON audit_entries (project_uuid, action, created_at, audit_id) WHERE project_uuid IS NOT NULL;
CREATE INDEX ix_audit_entries_project_user
    ON audit_entries (project_uuid, user_id, created_at, audit_id) WHERE project_uuid IS NOT NULL;
-- Few rows have another outcome than success.
CREATE INDEX ix_audit_entries_outcome ON audit_entries (outcome, created_at, audit_id)
    WHERE outcome <> 'success';
CREATE INDEX ix_audit_entries_outcome_project
    ON audit_entries (outcome, project_uuid, created_at, audit_id) WHERE outcome <> 'success';
CREATE INDEX ix_audit_entries_outcome_action
    ON audit_entries (outcome, action, created_at, audit_id) WHERE outcome <> 'success';
CREATE INDEX ix_audit_entries_outcome_user
    ON audit_entries (outcome, user_id, created_at, audit_id) WHERE outcome <> 'success';

-- The planner underestimates what it costs to read a row and split its text into words. A filter
-- that calls this function is evaluated last.
CREATE FUNCTION audit_row_read(number integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 1000
    AS $$
BEGIN
    RETURN true;
END
$$;

-- Rows that wait for their seal. They are written in the transaction of the audit row itself, so a
-- row that commits late is sealed late, whatever its number is.
CREATE TABLE audit_unsealed (audit_id integer PRIMARY KEY);

CREATE TABLE audit_seals (
    id bigint PRIMARY KEY CHECK (id > 0),
    sealed_at timestamptz NOT NULL,
    ids int4multirange NOT NULL CHECK (NOT isempty(ids)),
    root bytea NOT NULL CHECK (length(root) = 32),
    previous bytea NOT NULL UNIQUE CHECK (length(previous) = 32),
    head bytea NOT NULL UNIQUE CHECK (length(head) = 32),
    leaves bytea NOT NULL
);

-- Hashes do not compress.
ALTER TABLE audit_seals ALTER leaves SET STORAGE EXTERNAL;
CREATE INDEX ix_audit_seals_ids ON audit_seals USING gist (ids);

CREATE TABLE audit_signatures (
    seal_id bigint NOT NULL REFERENCES audit_seals(id),
    key_id varchar(32) NOT NULL,
    signature bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (seal_id, key_id)
);

CREATE TABLE audit_archives (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_seal bigint NOT NULL UNIQUE REFERENCES audit_seals(id),
    last_seal bigint NOT NULL UNIQUE REFERENCES audit_seals(id) CHECK (last_seal >= first_seal),
    rows bigint NOT NULL,
    sha256 varchar(64) NOT NULL REFERENCES blobs(sha256),
    size bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    pruned_at timestamptz
);

CREATE INDEX ix_audit_archives_sha256 ON audit_archives (sha256);

CREATE FUNCTION audit_entries_repeat_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT l.action, l.user_id INTO NEW.action, NEW.user_id
    FROM public.audit_logs l WHERE l.id = NEW.audit_id;
    RETURN NEW;
END
$$;

-- For entries of rows that another program wrote.
CREATE TRIGGER audit_entries_repeat_row BEFORE INSERT ON audit_entries
    FOR EACH ROW WHEN (NEW.action IS NULL) EXECUTE FUNCTION audit_entries_repeat_row();

-- Every row waits for its seal and has an entry, whichever program writes it. The function runs as
-- the owner, because the running role may not choose the time or number of an entry.
CREATE FUNCTION audit_logs_await_seal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_unsealed SELECT id FROM added;
    -- The platform inserts entries together with rows. Rows of other programs get theirs here.
    INSERT INTO public.audit_entries (audit_id, created_at)
        SELECT id, created_at FROM added
        WHERE NOT EXISTS (SELECT FROM public.audit_entries e WHERE e.audit_id = added.id)
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_logs_await_seal AFTER INSERT ON audit_logs
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_await_seal();

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    number integer;
BEGIN
    -- A foreign key of the contract sets user_id to NULL when a user is deleted. No other change is
    -- allowed, and this one only if the user is gone.
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_logs' THEN
        IF NEW.user_id IS NULL AND to_jsonb(NEW) - 'user_id' = to_jsonb(OLD) - 'user_id'
           AND NOT EXISTS (SELECT FROM public.users WHERE id = OLD.user_id) THEN
            RETURN NEW;
        END IF;
    END IF;
    -- An archive is created once, and marked once as the only copy of its rows.
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_archives' THEN
        IF OLD.pruned_at IS NULL AND NEW.pruned_at IS NOT NULL
           AND to_jsonb(NEW) - 'pruned_at' = to_jsonb(OLD) - 'pruned_at' THEN
            RETURN NEW;
        END IF;
    END IF;
    -- Rows that are in such an archive may be deleted; the running role has no right to delete.
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME IN ('audit_logs', 'audit_entries') THEN
        number := coalesce(to_jsonb(OLD) ->> 'audit_id', to_jsonb(OLD) ->> 'id');
        IF EXISTS (
            SELECT FROM public.audit_seals s
            JOIN public.audit_archives a ON s.id BETWEEN a.first_seal AND a.last_seal
            WHERE s.ids @> number AND a.pruned_at IS NOT NULL
        ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
"""

APPEND_ONLY = """
CREATE TRIGGER {0}_append_only BEFORE UPDATE OR DELETE ON {0}
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER {0}_no_truncate BEFORE TRUNCATE ON {0}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
"""

NOTIFICATIONS = """
-- Serial numbers are not assigned in the order of commits. Readers that resume from a position
-- order by transaction, and read only below the oldest transaction that still runs.
CREATE TABLE notification_details (
    notification_id integer PRIMARY KEY REFERENCES notifications(id) ON DELETE CASCADE,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_uuid uuid,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()
);

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

PROJECTS = """
-- Resources in the bin keep their rows. A deleted project has the status `deleted`. A deleted
-- dataset or model belongs to a project of that status that nobody owns, so that no selection by
-- project finds it. `bin_home` names that project, which the first deletion creates.
CREATE TABLE bin_home (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    project_id integer NOT NULL REFERENCES projects(id)
);

CREATE TABLE bin_entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resource_uuid uuid NOT NULL UNIQUE,
    kind varchar(20) NOT NULL CHECK (kind IN ('project', 'dataset', 'model')),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    dataset_id integer UNIQUE REFERENCES datasets(id) ON DELETE CASCADE,
    model_id integer UNIQUE REFERENCES models(id) ON DELETE CASCADE,
    name varchar(255) NOT NULL,
    version varchar(50),
    shared boolean NOT NULL DEFAULT false,
    was_status varchar(50),
    deleted_by integer REFERENCES users(id) ON DELETE SET NULL,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    purge_after timestamptz NOT NULL,
    CHECK ((kind = 'dataset') = (dataset_id IS NOT NULL)),
    CHECK ((kind = 'model') = (model_id IS NOT NULL))
);

CREATE INDEX ix_bin_entries_project ON bin_entries (project_id, id);
CREATE INDEX ix_bin_entries_purge_after ON bin_entries (purge_after);
CREATE UNIQUE INDEX ux_bin_entries_project ON bin_entries (project_id) WHERE kind = 'project';

CREATE TABLE project_quotas (
    project_id integer PRIMARY KEY REFERENCES projects(id) ON DELETE CASCADE,
    storage_bytes bigint CHECK (storage_bytes >= 0),
    concurrent_tasks integer CHECK (concurrent_tasks >= 0),
    gpus integer CHECK (gpus >= 0),
    updated_by integer REFERENCES users(id) ON DELETE SET NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    max_priority integer CHECK (max_priority BETWEEN 5 AND 10)
);

CREATE TABLE project_storage (
    project_id integer PRIMARY KEY REFERENCES projects(id) ON DELETE CASCADE
);

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

DATASETS = """
CREATE TABLE dataset_details (
    dataset_id integer PRIMARY KEY REFERENCES datasets(id) ON DELETE CASCADE,
    shape varchar(30),
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    last_number integer NOT NULL DEFAULT 0
);

CREATE UNIQUE INDEX ux_datasets_project_name ON datasets (project_id, name);

CREATE TABLE dataset_version_details (
    version_id integer PRIMARY KEY REFERENCES dataset_versions(id) ON DELETE CASCADE,
    shape varchar(30) NOT NULL,
    format varchar(50) NOT NULL,
    filename varchar(255),
    columns jsonb NOT NULL DEFAULT '[]',
    upload jsonb NOT NULL DEFAULT '{}'
);

CREATE UNIQUE INDEX ux_dataset_versions_version ON dataset_versions (dataset_id, version);
CREATE INDEX ix_dataset_versions_parent ON dataset_versions (parent_version_id);

-- Files are stored in parts, so that a version stores only what it changed.
CREATE TABLE version_files (
    dataset_version_id integer NOT NULL REFERENCES dataset_versions(id) ON DELETE CASCADE,
    path varchar(500) NOT NULL,
    sha256 varchar(64) NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL,
    PRIMARY KEY (dataset_version_id, path)
);

CREATE TABLE version_parts (
    dataset_version_id integer NOT NULL,
    path varchar(500) NOT NULL,
    start bigint NOT NULL,
    size integer NOT NULL CHECK (size > 0),
    content varchar(64) NOT NULL CHECK (content ~ '^[0-9a-f]{64}$'),
    blobs jsonb NOT NULL,
    PRIMARY KEY (dataset_version_id, path, start),
    FOREIGN KEY (dataset_version_id, path)
        REFERENCES version_files (dataset_version_id, path) ON DELETE CASCADE
);

CREATE TABLE dataset_tags (
    dataset_id integer NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
    name varchar(50) NOT NULL,
    version_id integer NOT NULL REFERENCES dataset_versions(id) ON DELETE CASCADE,
    moved_by integer REFERENCES users(id) ON DELETE SET NULL,
    moved_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (dataset_id, name)
);

CREATE INDEX ix_dataset_tags_version ON dataset_tags (version_id);

CREATE TABLE dataset_uploads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    user_id integer NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    length bigint NOT NULL CHECK (length >= 0),
    facts jsonb NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'receiving'
        CHECK (status IN ('receiving', 'committed', 'refused')),
    result jsonb,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamptz NOT NULL
);

CREATE INDEX ix_dataset_uploads_expires ON dataset_uploads (expires_at);
CREATE INDEX ix_dataset_uploads_project ON dataset_uploads (project_id);

-- The newest report of each version; `quality_reports_made` has all of them.
CREATE TABLE quality_reports (
    version_id integer PRIMARY KEY REFERENCES dataset_versions(id) ON DELETE CASCADE,
    report jsonb NOT NULL,
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE quality_reports_made (
    id bigserial PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    version_id integer NOT NULL REFERENCES dataset_versions(id) ON DELETE CASCADE,
    report jsonb NOT NULL,
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX ix_quality_reports_made_version ON quality_reports_made (version_id, id);

CREATE TABLE dataset_gates (
    project_id integer PRIMARY KEY REFERENCES projects(id) ON DELETE CASCADE,
    gate jsonb NOT NULL
);
"""

MODELS = """
CREATE TABLE model_details (
    model_id integer PRIMARY KEY REFERENCES models(id) ON DELETE CASCADE,
    status varchar(20) NOT NULL,
    license varchar(100),
    card jsonb NOT NULL DEFAULT '{}',
    error text,
    base_model_id integer REFERENCES models(id) ON DELETE SET NULL,
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    experiment_id integer REFERENCES experiments(id) ON DELETE SET NULL,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE UNIQUE INDEX ux_models_project_name_version
    ON models (project_id, name, version) NULLS NOT DISTINCT;

CREATE TABLE deployments (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    model_id integer REFERENCES models(id) ON DELETE SET NULL,
    spec jsonb NOT NULL,
    status varchar(20) NOT NULL,
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    endpoint varchar(500),
    endpoint_token varchar(100),
    restarts integer NOT NULL DEFAULT 0,
    error text,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    next_task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    next_model_id integer REFERENCES models(id) ON DELETE SET NULL,
    next_spec jsonb,
    update_error text,
    UNIQUE (project_id, name)
);

CREATE INDEX ix_deployments_task ON deployments (task_id);
CREATE INDEX ix_deployments_next_task ON deployments (next_task_id);

-- Servers that an update replaced and that finish their answers.
CREATE TABLE deployment_retirements (
    task_id integer PRIMARY KEY REFERENCES tasks(id) ON DELETE CASCADE,
    deployment_id integer NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,
    endpoint_token varchar(100) NOT NULL,
    retired_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX ix_deployment_retirements_deployment ON deployment_retirements (deployment_id);
"""

EXPERIMENTS = """
CREATE TABLE experiment_details (
    experiment_id integer PRIMARY KEY REFERENCES experiments(id) ON DELETE CASCADE,
    description text,
    base_model_id integer REFERENCES models(id) ON DELETE SET NULL,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    note text,
    archived_at timestamptz,
    cloned_from integer REFERENCES experiments(id) ON DELETE SET NULL
);

CREATE INDEX ix_experiments_project ON experiments (project_id, id);
CREATE INDEX ix_experiment_details_archived ON experiment_details (experiment_id)
    WHERE archived_at IS NOT NULL;

CREATE TABLE experiment_tags (
    experiment_id integer NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    tag varchar(50) NOT NULL,
    PRIMARY KEY (experiment_id, tag)
);

CREATE INDEX ix_experiment_tags_tag ON experiment_tags (tag, experiment_id);

-- A run is a training, or a run outside of the platform that reports to it. It may have no
-- experiment.
CREATE TABLE run_details (
    task_id integer PRIMARY KEY REFERENCES tasks(id) ON DELETE CASCADE,
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    experiment_id integer REFERENCES experiments(id) ON DELETE SET NULL,
    metrics jsonb NOT NULL DEFAULT '{}',
    record jsonb NOT NULL DEFAULT '{}',
    rerun_of integer REFERENCES tasks(id) ON DELETE SET NULL
);

CREATE INDEX ix_run_details_project ON run_details (project_id, task_id);
CREATE INDEX ix_run_details_experiment ON run_details (experiment_id, task_id);
CREATE INDEX ix_run_details_rerun_of ON run_details (rerun_of) WHERE rerun_of IS NOT NULL;

-- Lists are filtered and sorted by these: each number, text and boolean of config and metrics, with
-- its path. A row has either a number or a word.
CREATE TABLE experiment_facts (
    owner_id integer NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    project_id integer NOT NULL,
    path varchar(300) NOT NULL,
    number double precision,
    word varchar(300),
    PRIMARY KEY (owner_id, path)
);

CREATE INDEX ix_experiment_facts_number ON experiment_facts (project_id, path, number, owner_id)
    WHERE number IS NOT NULL;
CREATE INDEX ix_experiment_facts_word ON experiment_facts (project_id, path, word, owner_id)
    WHERE word IS NOT NULL;
CREATE STATISTICS st_experiment_facts (ndistinct, mcv) ON project_id, path FROM experiment_facts;

CREATE TABLE run_facts (
    owner_id integer NOT NULL REFERENCES run_details(task_id) ON DELETE CASCADE,
    project_id integer NOT NULL,
    path varchar(300) NOT NULL,
    number double precision,
    word varchar(300),
    PRIMARY KEY (owner_id, path)
);

CREATE INDEX ix_run_facts_number ON run_facts (project_id, path, number, owner_id)
    WHERE number IS NOT NULL;
CREATE INDEX ix_run_facts_word ON run_facts (project_id, path, word, owner_id)
    WHERE word IS NOT NULL;
CREATE STATISTICS st_run_facts (ndistinct, mcv) ON project_id, path FROM run_facts;

-- Returns the leaves of a document with their paths. Lists are left out, because they have more
-- than one value. NaN and infinities are stored as texts.
CREATE FUNCTION facts_of(prefix text, document jsonb)
RETURNS TABLE (path text, number double precision, word text) LANGUAGE sql IMMUTABLE AS $$
    WITH RECURSIVE inner_values AS (
        SELECT prefix AS path, document AS value
        UNION ALL
        SELECT o.path || '.' || e.key, e.value
        FROM inner_values o,
             jsonb_each(CASE WHEN jsonb_typeof(o.value) = 'object' THEN o.value END) e
    ), leaves AS (
        SELECT i.path, i.value, jsonb_typeof(i.value) AS kind, i.value #>> '{}' AS content
        FROM inner_values i
        WHERE jsonb_typeof(i.value) IN ('number', 'string', 'boolean') AND length(i.path) <= 300
        LIMIT 500
    )
    SELECT l.path,
           CASE WHEN l.kind = 'number' THEN
                    CASE WHEN abs(l.content::numeric) < 1e300 THEN l.content::double precision END
                WHEN l.content IN ('NaN', 'Infinity', '-Infinity')
                THEN l.content::double precision END,
           CASE WHEN l.kind <> 'number' AND l.content NOT IN ('NaN', 'Infinity', '-Infinity')
                THEN left(l.content, 300) END
    FROM leaves l
$$;

CREATE FUNCTION experiments_tell_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM experiment_facts WHERE owner_id = NEW.id;
    IF NEW.project_id IS NOT NULL THEN
        INSERT INTO experiment_facts (owner_id, project_id, path, number, word)
        SELECT NEW.id, NEW.project_id, f.path, f.number, f.word
        FROM (SELECT * FROM facts_of('config', NEW.config)
              UNION ALL SELECT * FROM facts_of('metrics', NEW.metrics)) f
        WHERE num_nonnulls(f.number, f.word) = 1;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER experiments_facts_new AFTER INSERT ON experiments
    FOR EACH ROW EXECUTE FUNCTION experiments_tell_facts();
CREATE TRIGGER experiments_facts_changed
    AFTER UPDATE OF config, metrics, project_id ON experiments FOR EACH ROW
    WHEN ((OLD.config, OLD.metrics, OLD.project_id)
          IS DISTINCT FROM (NEW.config, NEW.metrics, NEW.project_id))
    EXECUTE FUNCTION experiments_tell_facts();

-- The config of a reported run is inside the config of its task, beside facts about its machine.
CREATE FUNCTION run_config(type text, config jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN type = 'external' THEN config -> 'config' ELSE config END
$$;

CREATE FUNCTION runs_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO run_details (task_id, project_id, experiment_id)
    VALUES (NEW.id, NEW.project_id, NEW.experiment_id);
    INSERT INTO run_facts (owner_id, project_id, path, number, word)
    SELECT NEW.id, NEW.project_id, f.path, f.number, f.word
    FROM facts_of('config', run_config(NEW.type, NEW.config)) f
    WHERE num_nonnulls(f.number, f.word) = 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_are_runs AFTER INSERT ON tasks FOR EACH ROW
    WHEN (NEW.type IN ('training', 'external') AND NEW.project_id IS NOT NULL)
    EXECUTE FUNCTION runs_begin();

CREATE FUNCTION runs_tell_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM run_facts WHERE owner_id = NEW.task_id AND starts_with(path, 'metrics.');
    INSERT INTO run_facts (owner_id, project_id, path, number, word)
    SELECT NEW.task_id, NEW.project_id, f.path, f.number, f.word
    FROM facts_of('metrics', NEW.metrics) f
    WHERE num_nonnulls(f.number, f.word) = 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER run_details_facts AFTER UPDATE OF metrics ON run_details FOR EACH ROW
    WHEN (OLD.metrics IS DISTINCT FROM NEW.metrics) EXECUTE FUNCTION runs_tell_facts();

CREATE TABLE sweeps (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    experiment_id integer NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    name varchar(200) NOT NULL,
    spec jsonb NOT NULL,
    status varchar(20) NOT NULL
        CHECK (status IN ('running', 'completed', 'failed', 'cancelled')),
    error text,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    ended_at timestamptz,
    key_id bigint,
    UNIQUE (project_id, name)
);

CREATE INDEX ix_sweeps_running ON sweeps (id) WHERE status = 'running';
CREATE INDEX ix_sweeps_experiment ON sweeps (experiment_id);

CREATE TABLE sweep_trials (
    sweep_id integer NOT NULL REFERENCES sweeps(id) ON DELETE CASCADE,
    number integer NOT NULL CHECK (number >= 0),
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    params jsonb NOT NULL,
    state varchar(20) NOT NULL CHECK (state IN
        ('running', 'paused', 'resuming', 'completed', 'pruned', 'failed', 'cancelled')),
    value double precision,
    rungs jsonb NOT NULL DEFAULT '[]',
    error text,
    PRIMARY KEY (sweep_id, number)
);

CREATE INDEX ix_sweep_trials_task ON sweep_trials (task_id) WHERE task_id IS NOT NULL;
"""

QUEUE = """
CREATE TABLE workers (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    name varchar(100) NOT NULL UNIQUE,
    hostname varchar(255) NOT NULL,
    pid integer NOT NULL,
    software_version varchar(50) NOT NULL,
    queues jsonb NOT NULL,
    cpus double precision NOT NULL,
    memory_mb integer NOT NULL,
    gpus integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    heartbeats bigint NOT NULL DEFAULT 0,
    heartbeat_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    stopped_at timestamptz,
    labels jsonb NOT NULL DEFAULT '[]',
    devices jsonb NOT NULL DEFAULT '[]',
    load jsonb NOT NULL DEFAULT '{}',
    state varchar(20) NOT NULL DEFAULT 'active'
        CHECK (state IN ('active', 'cordoned', 'draining')),
    state_changed_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- The values by which the queue is ordered are copied into one row of this table, so that one
-- narrow index has the order. Triggers keep them equal to those in `tasks`.
CREATE TABLE task_scheduling (
    task_id integer PRIMARY KEY REFERENCES tasks(id) ON DELETE CASCADE,
    queue varchar(50) NOT NULL,
    cpus double precision NOT NULL,
    memory_mb integer NOT NULL,
    gpus integer NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    not_before timestamptz,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    result jsonb,
    progress_detail jsonb,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    gpu_memory_mb integer NOT NULL DEFAULT 0,
    labels jsonb NOT NULL DEFAULT '[]',
    project_id integer,
    priority integer,
    since timestamptz,
    waiting boolean NOT NULL DEFAULT false,
    preemptible boolean NOT NULL DEFAULT false,
    time_limit_seconds integer,
    retry_seconds double precision NOT NULL DEFAULT 10,
    stop_wanted varchar(10) CHECK (stop_wanted IN ('pause', 'preempt')),
    retry_of integer REFERENCES tasks(id) ON DELETE SET NULL,
    blockers integer NOT NULL DEFAULT 0 CHECK (blockers >= 0),
    nodes integer NOT NULL DEFAULT 1 CHECK (nodes BETWEEN 1 AND 64),
    personal_secrets boolean NOT NULL DEFAULT true
);

CREATE INDEX ix_task_scheduling_lines
    ON task_scheduling (queue, priority, project_id, since, task_id) WHERE waiting;
CREATE INDEX ix_task_scheduling_oldest ON task_scheduling (queue, priority, since) WHERE waiting;
CREATE INDEX ix_task_scheduling_retry_of ON task_scheduling (retry_of) WHERE retry_of IS NOT NULL;

-- A task that depends on others is not in the queue until they have ended.
CREATE FUNCTION task_scheduling_copies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT t.project_id, t.priority, COALESCE(NEW.since, t.created_at, CURRENT_TIMESTAMP),
           t.status = 'pending' AND t.project_id IS NOT NULL AND NEW.blockers = 0
    INTO NEW.project_id, NEW.priority, NEW.since, NEW.waiting
    FROM tasks t WHERE t.id = NEW.task_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER task_scheduling_copies BEFORE INSERT ON task_scheduling
    FOR EACH ROW EXECUTE FUNCTION task_scheduling_copies();
CREATE TRIGGER task_scheduling_unblocks BEFORE UPDATE OF blockers ON task_scheduling
    FOR EACH ROW EXECUTE FUNCTION task_scheduling_copies();

CREATE FUNCTION tasks_tell_scheduling() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE task_scheduling
    SET project_id = NEW.project_id, priority = NEW.priority,
        waiting = NEW.status = 'pending' AND NEW.project_id IS NOT NULL AND blockers = 0
    WHERE task_id = NEW.id AND (project_id, priority, waiting) IS DISTINCT FROM (
        NEW.project_id, NEW.priority,
        NEW.status = 'pending' AND NEW.project_id IS NOT NULL AND blockers = 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_tell_scheduling AFTER UPDATE ON tasks FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.priority IS DISTINCT FROM NEW.priority
          OR OLD.project_id IS DISTINCT FROM NEW.project_id)
    EXECUTE FUNCTION tasks_tell_scheduling();

ALTER TABLE tasks ADD CONSTRAINT ck_tasks_priority CHECK (priority BETWEEN 1 AND 10);
ALTER TABLE tasks ADD CONSTRAINT ck_tasks_progress CHECK (progress BETWEEN 0 AND 1);
-- Lists of a project's tasks, newest first.
CREATE INDEX ix_tasks_project ON tasks (project_id, id);
CREATE INDEX ix_tasks_project_status ON tasks (project_id, status, id);
CREATE INDEX ix_tasks_project_type ON tasks (project_id, type, id);
CREATE INDEX ix_tasks_project_status_type ON tasks (project_id, status, type, id);
CREATE INDEX ix_tasks_project_name ON tasks (project_id, name, id);
CREATE INDEX ix_tasks_experiment ON tasks (experiment_id);

CREATE TABLE task_dependencies (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    needs_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    condition varchar(10) NOT NULL CHECK (condition IN ('ok', 'any')),
    settled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (task_id, needs_id),
    -- A task depends only on older tasks, so there are no cycles.
    CHECK (needs_id < task_id)
);

CREATE INDEX ix_task_dependencies_needs ON task_dependencies (needs_id) WHERE NOT settled;

CREATE TABLE task_submissions (
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    key varchar(200) NOT NULL,
    request_hash varchar(64) NOT NULL,
    answer jsonb,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (project_id, key)
);

CREATE INDEX ix_task_submissions_created ON task_submissions (created_at);

CREATE TABLE task_inputs (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    role varchar(30) NOT NULL,
    dataset_version_id integer REFERENCES dataset_versions(id) ON DELETE SET NULL,
    model_id integer REFERENCES models(id) ON DELETE SET NULL,
    label varchar(400) NOT NULL,
    content_hash varchar(64),
    PRIMARY KEY (task_id, role)
);

CREATE INDEX ix_task_inputs_version ON task_inputs (dataset_version_id);
CREATE INDEX ix_task_inputs_model ON task_inputs (model_id);

CREATE TABLE schedules (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_id integer NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    cron varchar(100) NOT NULL,
    timezone varchar(64) NOT NULL,
    action jsonb NOT NULL,
    missed varchar(10) NOT NULL CHECK (missed IN ('run_once', 'skip')),
    overlap varchar(10) NOT NULL CHECK (overlap IN ('skip', 'allow')),
    enabled boolean NOT NULL,
    next_at timestamptz,
    created_by integer REFERENCES users(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    key_id bigint,
    UNIQUE (project_id, name),
    CHECK (enabled = (next_at IS NOT NULL))
);

CREATE INDEX ix_schedules_due ON schedules (next_at) WHERE enabled;

CREATE TABLE schedule_firings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schedule_id integer NOT NULL REFERENCES schedules(id) ON DELETE CASCADE,
    due_at timestamptz NOT NULL,
    fired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome varchar(20) NOT NULL
        CHECK (outcome IN ('submitted', 'overlapped', 'missed', 'refused')),
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    code varchar(50),
    reason text,
    reason_zh text
);

CREATE INDEX ix_schedule_firings_schedule ON schedule_firings (schedule_id, id);
CREATE INDEX ix_schedule_firings_task ON schedule_firings (task_id) WHERE task_id IS NOT NULL;
"""

LEASES = """
CREATE TABLE task_leases (
    task_id integer PRIMARY KEY REFERENCES tasks(id) ON DELETE CASCADE,
    worker_id integer NOT NULL REFERENCES workers(id),
    project_id integer,
    attempt integer NOT NULL,
    fence bigint NOT NULL,
    cpus double precision NOT NULL,
    memory_mb integer NOT NULL,
    gpu_indices jsonb NOT NULL DEFAULT '[]',
    renewals bigint NOT NULL DEFAULT 0,
    acquired_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    renewed_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX ix_task_leases_worker ON task_leases (worker_id);

CREATE TABLE task_attempts (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    fence bigint NOT NULL,
    worker varchar(100) NOT NULL,
    started_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    ended_at timestamptz,
    outcome varchar(20),
    error text,
    PRIMARY KEY (task_id, attempt)
);

CREATE TABLE task_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    kind varchar(50) NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()
);

CREATE INDEX ix_task_events_task ON task_events (task_id, id);

-- A worker that is reserved for the first task that does not fit yet. `runners` are the tasks that
-- ran when it was reserved, as [task, fence]; so no clocks are compared.
CREATE TABLE task_reservations (
    worker_id integer PRIMARY KEY REFERENCES workers(id) ON DELETE CASCADE,
    task_id integer NOT NULL UNIQUE REFERENCES tasks(id) ON DELETE CASCADE,
    runners jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Exists while an attempt over several nodes holds its lease, and is deleted with it.
CREATE TABLE task_gangs (
    task_id integer PRIMARY KEY REFERENCES task_leases(task_id) ON DELETE CASCADE,
    fence bigint NOT NULL,
    nodes integer NOT NULL,
    state varchar(10) NOT NULL DEFAULT 'gathering'
        CHECK (state IN ('gathering', 'gathered', 'running')),
    endpoint text
);

CREATE INDEX ix_task_gangs_gathering ON task_gangs (task_id) WHERE state = 'gathering';

-- Nodes that joined. Node 0 is the worker that holds the lease; it has no row here.
CREATE TABLE task_nodes (
    task_id integer NOT NULL REFERENCES task_gangs(task_id) ON DELETE CASCADE,
    node integer NOT NULL CHECK (node >= 1),
    worker_id integer NOT NULL REFERENCES workers(id) ON DELETE CASCADE,
    project_id integer,
    attempt integer NOT NULL,
    fence bigint NOT NULL,
    cpus double precision NOT NULL,
    memory_mb integer NOT NULL,
    gpu_indices jsonb NOT NULL DEFAULT '[]',
    state varchar(10) NOT NULL DEFAULT 'joined'
        CHECK (state IN ('joined', 'ready', 'leaving', 'failed')),
    report jsonb,
    renewals bigint NOT NULL DEFAULT 0,
    acquired_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (task_id, node),
    UNIQUE (task_id, worker_id)
);

CREATE INDEX ix_task_nodes_worker ON task_nodes (worker_id);

-- Everything that workers hold, for node 0 of a task and for the others.
CREATE VIEW held_leases AS
SELECT worker_id, task_id, fence, attempt, cpus, memory_mb, gpu_indices, acquired_at
FROM task_leases
UNION ALL
SELECT worker_id, task_id, fence, attempt, cpus, memory_mb, gpu_indices, acquired_at
FROM task_nodes;

-- Usage of a project in core-seconds. It halves each day, see rules/order.py.
CREATE TABLE project_usage (
    project_id integer PRIMARY KEY,
    usage double precision NOT NULL DEFAULT 0,
    rate double precision NOT NULL DEFAULT 0,
    running integer NOT NULL DEFAULT 0,
    gpus integer NOT NULL DEFAULT 0,
    as_of timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION usage_left(as_of timestamptz, now timestamptz)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT power(2.0::float8,
        -LEAST(GREATEST(date_part('epoch', now - as_of) / 86400, 0), 50))
$$;

CREATE FUNCTION decayed_usage(
    usage double precision, rate double precision, as_of timestamptz, now timestamptz
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- PostgreSQL raises an error if a product underflows.
    SELECT CASE WHEN usage < 1e-100 THEN 0 ELSE usage * usage_left(as_of, now) END
           + rate * 86400 / ln(2.0::float8) * (1 - usage_left(as_of, now))
$$;

CREATE FUNCTION usage_share(
    usage double precision, rate double precision, as_of timestamptz, now timestamptz
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT decayed_usage(usage, rate, as_of, now) + rate * 3600
$$;

CREATE FUNCTION usage_rate(cpus double precision, memory_mb integer, gpus integer)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT GREATEST(cpus, memory_mb::float8 / 4096, gpus::float8 * 8, 0.1)
$$;

-- Leases begin and end in many places; triggers keep the usage up to date in all of them.
CREATE FUNCTION task_leases_count_usage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lease task_leases := CASE WHEN TG_OP = 'INSERT' THEN NEW ELSE OLD END;
    sign integer := CASE WHEN TG_OP = 'INSERT' THEN 1 ELSE -1 END;
    n integer := jsonb_array_length(lease.gpu_indices);
    r double precision := usage_rate(lease.cpus, lease.memory_mb, n);
BEGIN
    IF lease.project_id IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO project_usage AS u (project_id, rate, running, gpus)
    VALUES (lease.project_id, GREATEST(sign * r, 0), GREATEST(sign, 0), GREATEST(sign * n, 0))
    ON CONFLICT (project_id) DO UPDATE SET
        usage = decayed_usage(u.usage, u.rate, u.as_of, clock_timestamp()),
        -- Sums of floats drift. If nothing runs, the rate is exactly 0.
        rate = CASE WHEN u.running + sign <= 0 THEN 0 ELSE GREATEST(u.rate + sign * r, 0) END,
        running = GREATEST(u.running + sign, 0),
        gpus = GREATEST(u.gpus + sign * n, 0),
        as_of = clock_timestamp();
    RETURN NULL;
END
$$;

CREATE TRIGGER task_leases_count_usage AFTER INSERT OR DELETE ON task_leases
    FOR EACH ROW EXECUTE FUNCTION task_leases_count_usage();

-- A project is charged for all nodes of its tasks. The task itself counts once, by its lease.
CREATE FUNCTION task_nodes_count_usage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held task_nodes := CASE WHEN TG_OP = 'INSERT' THEN NEW ELSE OLD END;
    sign integer := CASE WHEN TG_OP = 'INSERT' THEN 1 ELSE -1 END;
    n integer := jsonb_array_length(held.gpu_indices);
    r double precision := usage_rate(held.cpus, held.memory_mb, n);
BEGIN
    UPDATE project_usage AS u SET
        usage = decayed_usage(u.usage, u.rate, u.as_of, clock_timestamp()),
        rate = GREATEST(u.rate + sign * r, 0),
        gpus = GREATEST(u.gpus + sign * n, 0),
        as_of = clock_timestamp()
    WHERE project_id = held.project_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER task_nodes_count_usage AFTER INSERT OR DELETE ON task_nodes
    FOR EACH ROW EXECUTE FUNCTION task_nodes_count_usage();

-- With the default thresholds, autovacuum would visit these small busy tables once a minute, and
-- every worker would plan its statements anew.
ALTER TABLE workers SET (
    fillfactor = 50, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_threshold = 5000);
ALTER TABLE project_usage SET (
    fillfactor = 50, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_threshold = 5000);
ALTER TABLE task_leases SET (
    autovacuum_vacuum_threshold = 1000, autovacuum_analyze_threshold = 5000);
ALTER TABLE task_attempts SET (
    autovacuum_vacuum_insert_threshold = 10000, autovacuum_analyze_threshold = 5000);
ALTER TABLE task_events SET (
    autovacuum_vacuum_insert_threshold = 10000, autovacuum_analyze_threshold = 5000);
"""

TELEMETRY = """
-- Points have no foreign key: it would look the task up for each point, a third of the cost of the
-- ingest. Writers hold a lock on the task, and a trigger deletes the points of a deleted task.
CREATE TABLE metric_points (
    id bigint GENERATED ALWAYS AS IDENTITY,
    task_id integer NOT NULL,
    attempt integer NOT NULL,
    key varchar(200) NOT NULL,
    step bigint NOT NULL,
    value double precision NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, id)
);

CREATE INDEX ix_metric_points_series ON metric_points (task_id, key, step);

-- Charts are drawn from these: the extremes of each piece of a series, as [value, step, seconds]
-- (high: [value, -step, seconds], nan: [step, seconds]), so that the smallest and the largest array
-- of several pieces are those of the pieces together. A piece ends where the next one begins.
CREATE TABLE metric_levels (
    task_id integer NOT NULL,
    key varchar(200) NOT NULL,
    level smallint NOT NULL,
    first_step bigint NOT NULL,
    points bigint NOT NULL,
    low double precision[],
    high double precision[],
    nan double precision[],
    PRIMARY KEY (task_id, key, level, first_step)
);

-- The last point of a task that its levels include. A transaction that moves it waits for no task,
-- so the end of a task may wait for it.
CREATE TABLE metric_rollups (
    task_id integer PRIMARY KEY,
    up_to bigint NOT NULL DEFAULT 0
);

CREATE FUNCTION tasks_forget_points() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM metric_points WHERE task_id = OLD.id;
    DELETE FROM metric_levels WHERE task_id = OLD.id;
    DELETE FROM metric_rollups WHERE task_id = OLD.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_forget_points AFTER DELETE ON tasks
    FOR EACH ROW EXECUTE FUNCTION tasks_forget_points();

-- Runs outside of the platform. `renewals` counts their reports, so no clocks are compared.
CREATE TABLE external_runs (
    task_id integer PRIMARY KEY REFERENCES tasks(id) ON DELETE CASCADE,
    project_id integer REFERENCES projects(id) ON DELETE SET NULL,
    client_id varchar(64),
    renewals bigint NOT NULL DEFAULT 0,
    given_up boolean NOT NULL DEFAULT false,
    log_allowance double precision,
    log_filled_at timestamptz,
    log_lost_bytes bigint NOT NULL DEFAULT 0,
    UNIQUE (project_id, client_id)
) WITH (fillfactor = 50);

-- The last record of each writer that was stored, so that none is stored twice.
CREATE TABLE run_writers (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    writer uuid NOT NULL,
    taken bigint NOT NULL,
    PRIMARY KEY (task_id, writer)
) WITH (fillfactor = 50);

-- level: the highest level of the chunk's lines. levels: pairs of a line's number and the level
-- from there on. segment: the part of the log in a blob, see server/execution/runner/writers.py.
CREATE TABLE log_chunks (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    seq bigint NOT NULL,
    attempt integer NOT NULL,
    stream varchar(10) NOT NULL,
    text text NOT NULL,
    recorded_at timestamptz NOT NULL,
    level smallint NOT NULL DEFAULT 0,
    levels jsonb NOT NULL DEFAULT '[]',
    segment jsonb,
    PRIMARY KEY (task_id, seq)
);

-- A row holds one minute: `samples` has the values of all keys, sample by sample.
CREATE TABLE task_telemetry (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    began timestamptz NOT NULL,
    step_seconds real NOT NULL,
    keys text[] NOT NULL,
    samples real[] NOT NULL,
    PRIMARY KEY (task_id, attempt, began)
);

CREATE INDEX ix_task_telemetry_began ON task_telemetry (began);

CREATE TABLE worker_telemetry (
    worker_id integer NOT NULL REFERENCES workers(id) ON DELETE CASCADE,
    began timestamptz NOT NULL,
    step_seconds real NOT NULL,
    keys text[] NOT NULL,
    samples real[] NOT NULL,
    PRIMARY KEY (worker_id, began)
);

CREATE INDEX ix_worker_telemetry_began ON worker_telemetry (began);

CREATE TABLE attempt_usage (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    seconds double precision NOT NULL,
    cpus double precision NOT NULL,
    gpus jsonb NOT NULL,
    cost double precision,
    PRIMARY KEY (task_id, attempt)
);

CREATE TABLE worker_figures (
    worker_id integer PRIMARY KEY REFERENCES workers(id) ON DELETE CASCADE,
    figures jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""

IMMUTABLE_TABLES = (
    "audit_logs",
    "audit_entries",
    "audit_seals",
    "audit_signatures",
    "audit_archives",
)


def upgrade() -> None:
    """Create the tables."""
    connection = op.get_bind()
    for statements in (
        IDENTITY, BLOBS, AUDIT, NOTIFICATIONS, PROJECTS, DATASETS, MODELS, EXPERIMENTS, QUEUE,
        LEASES, TELEMETRY,
    ):  # fmt: skip
        connection.exec_driver_sql(statements)
    for table in IMMUTABLE_TABLES:
        connection.exec_driver_sql(APPEND_ONLY.format(table))


def downgrade() -> None:
    """Refuse to go back, which would delete data that the contract's tables can't hold.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("the platform's tables are not dropped; restore a backup instead")

"""Side tables: what the platform needs and the contract has no column for.

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
    failed_logins integer NOT NULL DEFAULT 0,
    last_failed_at timestamptz
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
    end_reason varchar(50)
);
CREATE INDEX ix_auth_sessions_user ON auth_sessions (user_id) WHERE ended_at IS NULL;

CREATE TABLE auth_tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id bigint NOT NULL REFERENCES auth_sessions(id) ON DELETE CASCADE,
    kind varchar(10) NOT NULL CHECK (kind IN ('access', 'refresh')),
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX ix_auth_tokens_session ON auth_tokens (session_id);
CREATE INDEX ix_auth_tokens_expires ON auth_tokens (expires_at);
"""

AUDIT = """
CREATE TABLE audit_entries (
    audit_id integer PRIMARY KEY REFERENCES audit_logs(id),
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_uuid uuid,
    outcome varchar(20) NOT NULL DEFAULT 'success'
        CHECK (outcome IN ('success', 'denied', 'failure'))
);
CREATE INDEX ix_audit_entries_project ON audit_entries (project_uuid, audit_id);
CREATE INDEX ix_audit_logs_created ON audit_logs USING brin (created_at);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Deleting a user empties user_id by the schema's own foreign key; nothing else may change, nor
    -- may that while the user is there.
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_logs' THEN
        IF NEW.user_id IS NULL AND to_jsonb(NEW) - 'user_id' = to_jsonb(OLD) - 'user_id'
           AND NOT EXISTS (SELECT FROM users WHERE id = OLD.user_id) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
"""

NOTIFICATIONS = """
CREATE TABLE notification_details (
    notification_id integer PRIMARY KEY REFERENCES notifications(id) ON DELETE CASCADE,
    uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    project_uuid uuid
);
"""

TASKS = """
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
    stopped_at timestamptz
);

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
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX ix_tasks_queue_order ON tasks (priority DESC, created_at, id)
    WHERE status IN ('pending', 'paused');
CREATE INDEX ix_tasks_project ON tasks (project_id, id);
CREATE INDEX ix_tasks_experiment ON tasks (experiment_id);
ALTER TABLE tasks ADD CONSTRAINT ck_tasks_priority CHECK (priority BETWEEN 1 AND 10);
ALTER TABLE tasks ADD CONSTRAINT ck_tasks_progress CHECK (progress BETWEEN 0 AND 1);

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

CREATE TABLE metric_points (
    id bigint GENERATED ALWAYS AS IDENTITY,
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    key varchar(200) NOT NULL,
    step bigint NOT NULL,
    value double precision NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, id)
);
CREATE INDEX ix_metric_points_series ON metric_points (task_id, key, step);

CREATE TABLE log_chunks (
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    seq bigint NOT NULL,
    attempt integer NOT NULL,
    stream varchar(10) NOT NULL,
    text text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, seq)
);

CREATE TABLE task_checkpoints (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id integer NOT NULL REFERENCES tasks(id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    step bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (task_id, attempt, step)
);

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
"""

DATASETS = """
CREATE TABLE dataset_details (
    dataset_id integer PRIMARY KEY REFERENCES datasets(id) ON DELETE CASCADE,
    shape varchar(30),
    created_by integer REFERENCES users(id) ON DELETE SET NULL
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

CREATE TABLE quality_reports (
    version_id integer PRIMARY KEY REFERENCES dataset_versions(id) ON DELETE CASCADE,
    report jsonb NOT NULL,
    task_id integer REFERENCES tasks(id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""

EXPERIMENTS = """
CREATE TABLE experiment_details (
    experiment_id integer PRIMARY KEY REFERENCES experiments(id) ON DELETE CASCADE,
    description text,
    base_model_id integer REFERENCES models(id) ON DELETE SET NULL,
    created_by integer REFERENCES users(id) ON DELETE SET NULL
);
CREATE INDEX ix_experiments_project ON experiments (project_id, id);
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
"""

DEPLOYMENTS = """
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
    UNIQUE (project_id, name)
);
CREATE INDEX ix_deployments_task ON deployments (task_id);
"""

BLOBS = """
CREATE TABLE blobs (
    sha256 varchar(64) PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    touched_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX ix_blobs_touched ON blobs (touched_at);

CREATE TABLE blob_refs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 varchar(64) NOT NULL REFERENCES blobs(sha256),
    project_id integer REFERENCES projects(id) ON DELETE CASCADE,
    dataset_version_id integer REFERENCES dataset_versions(id) ON DELETE CASCADE,
    model_id integer REFERENCES models(id) ON DELETE CASCADE,
    checkpoint_id bigint REFERENCES task_checkpoints(id) ON DELETE CASCADE,
    path varchar(500) NOT NULL,
    CHECK (num_nonnulls(dataset_version_id, model_id, checkpoint_id) = 1)
);
CREATE INDEX ix_blob_refs_sha256 ON blob_refs (sha256);
CREATE INDEX ix_blob_refs_project ON blob_refs (project_id);
CREATE UNIQUE INDEX ux_blob_refs_version ON blob_refs (dataset_version_id, path)
    WHERE dataset_version_id IS NOT NULL;
CREATE UNIQUE INDEX ux_blob_refs_model ON blob_refs (model_id, path) WHERE model_id IS NOT NULL;
CREATE UNIQUE INDEX ux_blob_refs_checkpoint ON blob_refs (checkpoint_id, path)
    WHERE checkpoint_id IS NOT NULL;
"""


def upgrade() -> None:
    """Create the side tables."""
    for statements in (
        IDENTITY, AUDIT, NOTIFICATIONS, TASKS, DATASETS, EXPERIMENTS, MODELS, DEPLOYMENTS, BLOBS,
    ):  # fmt: skip
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    """Refused: side tables hold what the twelve tables can't.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("side tables are not dropped; restore a backup instead")

"""The audit trail: sealed in chained batches, archived, and read fast at millions of rows.

Revision ID: 0013
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# An entry carries its row's time, so that a project's rows are found in their order.
ENTRIES = """
ALTER TABLE audit_entries ADD COLUMN created_at timestamptz;
ALTER TABLE audit_entries DISABLE TRIGGER USER;
INSERT INTO audit_entries (audit_id) SELECT id FROM audit_logs ON CONFLICT DO NOTHING;
UPDATE audit_entries e SET created_at = l.created_at FROM audit_logs l WHERE l.id = e.audit_id;
ALTER TABLE audit_entries ENABLE TRIGGER USER;
ALTER TABLE audit_entries ALTER created_at SET DEFAULT CURRENT_TIMESTAMP;
ALTER TABLE audit_logs ADD CONSTRAINT ck_audit_logs_dated CHECK (created_at IS NOT NULL);
"""

INDEXES = """
DROP INDEX ix_audit_logs_created;
DROP INDEX ix_audit_entries_project;
CREATE INDEX ix_audit_logs_created ON audit_logs (created_at, id);
CREATE INDEX ix_audit_logs_user ON audit_logs (user_id, created_at, id);
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
CREATE INDEX ix_audit_entries_outcome ON audit_entries (outcome, created_at, audit_id)
    WHERE outcome <> 'success';
"""

SEALS = """
-- The rows that wait for their seal. Written in the transaction of the row itself, so a row that
-- commits late is found late, wherever its number lies: nothing is read by position.
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
"""

GUARDS = """
CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    number integer;
BEGIN
    -- Deleting a user empties user_id by the schema's own foreign key; nothing else may change, nor
    -- may that while the user is there.
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_logs' THEN
        IF NEW.user_id IS NULL AND to_jsonb(NEW) - 'user_id' = to_jsonb(OLD) - 'user_id'
           AND NOT EXISTS (SELECT FROM public.users WHERE id = OLD.user_id) THEN
            RETURN NEW;
        END IF;
    END IF;
    -- An archive is made once and marked once as the only place of its rows.
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_archives' THEN
        IF OLD.pruned_at IS NULL AND NEW.pruned_at IS NOT NULL
           AND to_jsonb(NEW) - 'pruned_at' = to_jsonb(OLD) - 'pruned_at' THEN
            RETURN NEW;
        END IF;
    END IF;
    -- Rows that are in such an archive may go; the running role has no right to delete at all.
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

-- Whoever writes a row, by whatever program: it waits for its seal and has an entry. Runs as the
-- owner, since the running role may not choose an entry's time or number.
CREATE FUNCTION audit_logs_await_seal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_unsealed SELECT id FROM added;
    INSERT INTO public.audit_entries (audit_id, created_at) SELECT id, created_at FROM added
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_logs_await_seal AFTER INSERT ON audit_logs
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_await_seal();
INSERT INTO audit_unsealed SELECT id FROM audit_logs;
"""

APPEND_ONLY = """
CREATE TRIGGER {0}_append_only BEFORE UPDATE OR DELETE ON {0}
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER {0}_no_truncate BEFORE TRUNCATE ON {0}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
"""


def upgrade() -> None:
    """Let the rows that are there wait for the first seal."""
    connection = op.get_bind()
    for statements in (ENTRIES, INDEXES, SEALS, GUARDS):
        connection.exec_driver_sql(statements)
    for table in ("audit_seals", "audit_signatures", "audit_archives"):
        connection.exec_driver_sql(APPEND_ONLY.format(table))


def downgrade() -> None:
    """Refused: seals are what shows that nothing was altered.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("the audit trail's seals are not dropped; restore a backup instead")

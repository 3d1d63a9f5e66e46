"""Tests of the database roles: the runtime role must not be able to change the audit trail."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy.orm import Session

from aiplatform.embedded import doctor
from aiplatform.embedded.home import Home
from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit, migrate, roles
from aiplatform.server.core.settings import Settings
from tests.conftest import environment
from tests.factories import make_user
from tests.servers import OWNER, RUNTIME, PostgresServer

Connection = psycopg.Connection[Any]

CHANGES = [
    "UPDATE audit_logs SET action = 'nothing' WHERE id = {id}",
    "UPDATE audit_logs SET user_id = NULL, action = 'nothing' WHERE id = {id}",
    "UPDATE audit_logs SET user_id = NULL, details = '{{}}' WHERE id = {id}",
    "UPDATE audit_logs SET user_id = NULL WHERE id = {id}",
    "UPDATE audit_logs SET id = -id WHERE id = {id}",
    "UPDATE audit_logs SET created_at = created_at - interval '1 day' WHERE id = {id}",
    "DELETE FROM audit_logs WHERE id = {id}",
    "TRUNCATE audit_logs CASCADE",
    "TRUNCATE users CASCADE",
    "UPDATE audit_entries SET outcome = 'success' WHERE audit_id = {id}",
    "DELETE FROM audit_entries WHERE audit_id = {id}",
    "TRUNCATE audit_entries",
    (
        "MERGE INTO audit_logs a USING (VALUES ({id})) v (i) ON a.id = v.i "
        "WHEN MATCHED THEN UPDATE SET action = 'nothing'"
    ),
    (
        "INSERT INTO audit_entries (audit_id) VALUES ({id}) "
        "ON CONFLICT (audit_id) DO UPDATE SET outcome = 'success'"
    ),
]
"""Changes to audit rows that the triggers reject, even for the owner of the tables."""

WAYS_AROUND = [
    "ALTER TABLE audit_logs DISABLE TRIGGER ALL",
    "ALTER TABLE audit_logs DISABLE TRIGGER audit_logs_append_only",
    "ALTER TABLE audit_logs DROP COLUMN details",
    "ALTER TABLE audit_logs OWNER TO CURRENT_USER",
    "ALTER TABLE audit_logs RENAME TO old_logs",
    "ALTER TABLE audit_logs INHERIT audit_entries",
    "DROP TABLE audit_logs CASCADE",
    "DROP TRIGGER audit_logs_append_only ON audit_logs",
    "DROP FUNCTION refuse_audit_change() CASCADE",
    (
        "CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NEW; END'"
    ),
    "ALTER FUNCTION refuse_audit_change() OWNER TO CURRENT_USER",
    "CREATE TRIGGER mine BEFORE INSERT ON audit_logs EXECUTE FUNCTION refuse_audit_change()",
    "CREATE RULE mine AS ON INSERT TO audit_logs DO INSTEAD NOTHING",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE mine (x int)",
    "SET session_replication_role = replica",
    f"SET ROLE {OWNER}",
    f"SET SESSION AUTHORIZATION {OWNER}",
    f"GRANT {OWNER} TO CURRENT_USER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "SELECT setval('audit_logs_id_seq', 1)",
    "ALTER SEQUENCE audit_logs_id_seq RESTART",
    "INSERT INTO audit_logs (id, action) VALUES (-1, 'inserted under a number of its choice')",
    "INSERT INTO audit_logs (created_at, action) VALUES ('2020-01-01', 'inserted as if then')",
    "COPY audit_logs (id, action, created_at) FROM PROGRAM 'true'",
    "UPDATE alembic_version SET version_num = '0001'",
    "SELECT * FROM audit_logs FOR UPDATE",
    "LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE",
]
"""Statements that only the owner or a superuser may run."""

SHADOWS = [
    "CREATE TEMPORARY TABLE audit_logs (LIKE public.audit_logs)",
    "CREATE TEMPORARY TABLE audit_logs AS SELECT * FROM public.audit_logs",
    "SELECT * INTO TEMPORARY audit_logs FROM public.audit_logs",
    "CREATE TABLE pg_temp.audit_logs (x int)",
    "CREATE TEMPORARY VIEW audit_logs AS SELECT 1",
    "CREATE TEMPORARY SEQUENCE audit_logs_id_seq",
    "CREATE SCHEMA AUTHORIZATION CURRENT_USER",
    "CREATE SCHEMA mine CREATE TABLE audit_logs (x int)",
    "CREATE VIEW public.mine AS SELECT 1",
    "ALTER DATABASE {database} SET search_path = pg_temp, public",
    "GRANT TEMPORARY ON DATABASE {database} TO CURRENT_USER",
]
"""Statements that would hide the audit tables behind another object of the same name."""

SEALED = [
    "UPDATE audit_seals SET root = root",
    "DELETE FROM audit_seals",
    "TRUNCATE audit_seals CASCADE",
    "UPDATE audit_signatures SET signature = ''",
    "DELETE FROM audit_signatures",
    "UPDATE audit_archives SET pruned_at = now()",
    "DELETE FROM audit_archives",
    "INSERT INTO audit_unsealed VALUES (-1)",
    "UPDATE audit_unsealed SET audit_id = -1",
    (
        "INSERT INTO audit_archives (first_seal, last_seal, rows, sha256, size, pruned_at)"
        " VALUES (1, 1, 1, '', 1, now())"
    ),
    "INSERT INTO audit_entries (audit_id, created_at) VALUES (1, now())",
    (
        "CREATE OR REPLACE FUNCTION audit_logs_await_seal() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'"
    ),
]
"""Changes to seals that the runtime role must not be able to make."""


@pytest.fixture
def row(session: Session) -> int:
    user = make_user(session)
    actor = audit.Actor(user_id=user.id, user_uuid=user.uuid, username=user.username)
    made = audit.record(session, actor, AuditAction.DATASET_DELETED, "dataset", outcome="denied")
    session.commit()
    return made


@pytest.fixture
def running(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def owner(owner_url: str) -> Iterator[Connection]:
    with psycopg.connect(owner_url) as connection:
        yield connection
        connection.rollback()


def state(connection: Connection, row: int) -> Any:
    return connection.execute(
        "SELECT l.*, e.* FROM audit_logs l JOIN audit_entries e ON e.audit_id = l.id"
        " WHERE l.id = %s",
        [row],
    ).fetchone()


class TestRuntimeRole:
    @pytest.mark.parametrize("statement", [*CHANGES, *WAYS_AROUND, *SEALED])
    def test_runtime_role_cannot_change_the_audit_trail(
        self, running: Connection, row: int, statement: str
    ) -> None:
        before = state(running, row)
        with pytest.raises(
            (
                psycopg.errors.InsufficientPrivilege,
                psycopg.errors.ActiveSqlTransaction,
            )
        ):
            running.execute(statement.format(id=row) if "{id}" in statement else statement)
        running.rollback()
        assert state(running, row) == before

    @pytest.mark.parametrize("statement", SHADOWS)
    def test_runtime_role_cannot_shadow_the_audit_trail(
        self, running: Connection, statement: str
    ) -> None:
        database = running.info.dbname
        try:
            running.execute(statement.format(database=database))
        except psycopg.errors.InsufficientPrivilege:
            running.rollback()
        else:  # an ineffective GRANT causes only a warning
            assert statement.startswith("GRANT")
        made = running.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'audit_logs' AND relkind IN ('r', 'v')"
        ).fetchall()
        assert made == [("audit_logs",)]
        assert not roles.examine_role().can_shadow

    def test_search_path_finds_the_audit_trail_first(self, running: Connection) -> None:
        row = running.execute("SHOW search_path").fetchone()
        assert row == ("public, pg_temp",)
        found = running.execute("SELECT 'audit_logs'::regclass = 'public.audit_logs'::regclass")
        assert found.fetchone() == (True,)

    def test_upgrade_revokes_excess_privileges(self, fresh_database: str) -> None:
        with psycopg.connect(os.environ["AIPLATFORM_MIGRATION_DATABASE_URL"]) as owner:
            name = owner.info.dbname
            owner.execute(f'GRANT TEMPORARY ON DATABASE "{name}" TO PUBLIC')
            owner.execute(f'GRANT TEMPORARY, CREATE ON DATABASE "{name}" TO {RUNTIME}')
            owner.execute(f'ALTER DATABASE "{name}" RESET search_path')
        assert roles.examine_role().can_shadow
        assert not roles.examine_role().is_restricted
        migrate.upgrade()
        assert roles.examine_role().is_restricted
        with psycopg.connect(fresh_database) as running:
            assert running.execute("SHOW search_path").fetchone() == ("public, pg_temp",)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                running.execute("CREATE TEMPORARY TABLE audit_logs (x int)")

    def test_runtime_role_is_used_by_all_tests(self, session: Session) -> None:
        found = roles.examine_role()
        assert found == roles.RunningRole(name=RUNTIME, rewritable_tables=())
        assert found.is_restricted
        assert session.connection().dialect.name == "postgresql"
        assert urlsplit(str(os.environ["AIPLATFORM_DATABASE_URL"])).username == RUNTIME

    def test_runtime_role_may_change_all_other_tables(self, running: Connection, row: int) -> None:
        tables = running.execute(
            "SELECT relname, has_table_privilege(oid, 'SELECT, INSERT, UPDATE, DELETE')"
            " AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')"
            " FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchall()
        restricted = {name for name, whole in tables if not whole}
        assert restricted == {*roles.APPEND_ONLY, *roles.READ_ONLY, *roles.QUEUE_TABLES}
        assert len(tables) > 20

    def test_runtime_role_may_delete_users_with_audit_entries(
        self, running: Connection, row: int
    ) -> None:
        before = running.execute("SELECT * FROM audit_logs WHERE id = %s", [row]).fetchone()
        assert before is not None
        assert before[1] is not None
        running.execute("DELETE FROM users WHERE id = %s", [before[1]])
        after = running.execute("SELECT * FROM audit_logs WHERE id = %s", [row]).fetchone()
        assert after == (before[0], None, *before[2:])


class TestOwner:
    @pytest.mark.parametrize("statement", CHANGES)
    def test_owner_is_refused_by_the_triggers(
        self, owner: Connection, row: int, statement: str
    ) -> None:
        before = state(owner, row)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            owner.execute(statement.format(id=row))
        owner.rollback()
        assert state(owner, row) == before

    def test_examine_role_with_owner_reports_all_audit_tables(self, owner_url: str) -> None:
        with environment(AIPLATFORM_DATABASE_URL=owner_url):
            found = roles.examine_role()
        assert found.name == OWNER
        assert set(found.rewritable_tables) == set(roles.APPEND_ONLY)

    def test_examine_role_reports_a_single_excess_grant(self, owner: Connection) -> None:
        owner.execute(f"GRANT UPDATE (details) ON audit_logs TO {RUNTIME}")
        owner.commit()
        assert roles.examine_role().rewritable_tables == ("audit_logs",)
        migrate.upgrade()
        assert roles.examine_role().is_restricted

    def test_tables_of_later_migrations_are_granted(
        self, owner: Connection, running: Connection
    ) -> None:
        owner.execute("CREATE TABLE later (id serial PRIMARY KEY, x int)")
        owner.commit()
        running.execute("INSERT INTO later (x) VALUES (1)")
        running.execute("UPDATE later SET x = 2; DELETE FROM later")
        running.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            running.execute("TRUNCATE later")
        running.rollback()
        owner.execute("DROP TABLE later")
        owner.commit()


class TestRoleNames:
    def test_runtime_role_of_settings(self) -> None:
        one = "postgresql://one@host/db"
        settings = Settings(database_url="postgresql://tw%6F@host/db", migration_database_url=one)
        assert roles.runtime_role(settings) == "two"
        assert roles.runtime_role(Settings(database_url=one, migration_database_url=one)) is None
        alone = Settings(database_url=one, migration_database_url=None)
        assert roles.runtime_role(alone) is None
        assert roles.runtime_role(Settings(database_url=one, runtime_role="x")) == "x"

    def test_upgrade_with_missing_role_says_what_to_run(self, owner_url: str) -> None:
        with (
            environment(AIPLATFORM_RUNTIME_ROLE="nobody_at_all"),
            pytest.raises(roles.RoleMissing, match="CREATE ROLE nobody_at_all"),
        ):
            migrate.upgrade()

    def test_upgrade_quotes_strange_role_names(
        self, postgres: PostgresServer, owner_url: str
    ) -> None:
        strange = 'od"d; DROP TABLE users --'
        assert postgres.superuser_url is not None
        quoted = '"' + strange.replace('"', '""') + '"'
        with psycopg.connect(postgres.superuser_url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {quoted}")
        with environment(AIPLATFORM_RUNTIME_ROLE=strange):
            migrate.upgrade()
        with psycopg.connect(owner_url, autocommit=True) as connection:
            granted = connection.execute(
                "SELECT has_table_privilege(%s, 'users', 'UPDATE')", [strange]
            ).fetchone()
        assert granted == (True,)


@pytest.mark.parametrize("role", ["running", "owner"])
def test_doctor_warns_of_role_that_could_rewrite_the_audit_trail(
    tmp_path: Path, role: str, database_url: str, owner_url: str
) -> None:
    url = database_url if role == "running" else owner_url
    found = doctor.check_role(Home.resolve(tmp_path), {"AIPLATFORM_DATABASE_URL": url})
    assert found.outcome is (doctor.Outcome.OK if role == "running" else doctor.Outcome.WARN)
    assert ("can't rewrite" in found.message) == (role == "running")

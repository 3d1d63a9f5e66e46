"""Conformance tests: a migrated database has exactly the twelve tables of the contract's SQL."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest

from aiplatform.embedded.binaries import (
    PostgresBinaries,
    debian_directories,
    find_postgres,
    postgres_version,
)
from aiplatform.server.core import migrate
from tests.catalog import TABLES, differences, read_catalog
from tests.conftest import environment
from tests.server.seed import DATA, DATABASE, SCHEMA
from tests.servers import OWNER, PostgresServer, private_postgres

EXTENSIONS = re.findall(r"CREATE EXTENSION .*?;", DATABASE)
FUNCTION = (
    "CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'"
)


def debian() -> list[PostgresBinaries]:
    """Return the PostgreSQL servers installed by the operating system's packages."""
    found = []
    for directory in debian_directories():
        version = postgres_version(directory)
        if version is not None and int(version.partition(".")[0]) >= 15:
            found.append(PostgresBinaries(directory, version))
    return found


@pytest.fixture(scope="module")
def contract_url(postgres: PostgresServer) -> Iterator[str]:
    """Create a database with the contract's SQL, and yield its URL."""
    yield make_contract(postgres, "aip_contract")
    postgres.drop_database("aip_contract")


def make_contract(server: PostgresServer, name: str) -> str:
    """Create a database, apply the contract's SQL to it, and return its URL."""
    server.drop_database(name)
    url = server.create_database(name)
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            for statement in EXTENSIONS:
                connection.execute(statement)
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
            connection.execute(FUNCTION)
        connection.execute(SCHEMA)
        connection.execute(DATA)
    return url


def own_role(url: str) -> AbstractContextManager[None]:
    """Use the same role to migrate and to run the platform, as in the simplest setup."""
    return environment(AIPLATFORM_DATABASE_URL=url, AIPLATFORM_MIGRATION_DATABASE_URL=url)


def compare(contract: str, actual: str) -> list[str]:
    with psycopg.connect(contract) as expected, psycopg.connect(actual) as given:
        return differences(read_catalog(expected), read_catalog(given))


def test_contract_sql_has_expected_tables_indexes_and_extensions() -> None:
    assert sorted(re.findall(r"CREATE TABLE (\w+)", SCHEMA)) == TABLES
    assert len(re.findall(r"CREATE INDEX", SCHEMA)) == 9
    assert len(EXTENSIONS) == 2


def test_migrated_database_equals_contract(owner_url: str, contract_url: str) -> None:
    assert compare(contract_url, owner_url) == []


def test_catalog_of_contract_contains_all_its_definitions(contract_url: str) -> None:
    with psycopg.connect(contract_url) as connection:
        catalog = read_catalog(connection)
    assert {row[0] for row in catalog.tables} == set(TABLES)
    assert len(catalog.columns) == len(re.findall(r"^    [a-z]\w* ", SCHEMA, re.MULTILINE)) == 123
    assert SCHEMA.count("REFERENCES") == 15
    kinds = [row[2] for row in catalog.constraints]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"p": 12, "f": 15, "u": 12}
    named = [row for row in catalog.indexes if row[1].startswith("idx_")]
    assert len(named) == 9
    assert [row[1] for row in named if "WHERE (is_read = false)" in row[2]] == [
        "idx_notifications_unread"
    ]
    assert {row[0] for row in catalog.roles} == {"admin", "developer", "viewer"}


ALTERATIONS = [
    "ALTER TABLE users ADD COLUMN extra integer",
    "ALTER TABLE users DROP COLUMN last_login_at",
    "ALTER TABLE users RENAME COLUMN email TO mail",
    "ALTER TABLE users ALTER username TYPE varchar(51)",
    "ALTER TABLE users ALTER username TYPE text",
    "ALTER TABLE users ALTER username DROP NOT NULL",
    "ALTER TABLE users ALTER role SET NOT NULL",
    "ALTER TABLE users ALTER role SET DEFAULT 'viewer'",
    "ALTER TABLE users ALTER uuid SET DEFAULT gen_random_uuid()",
    "ALTER TABLE users ALTER created_at DROP DEFAULT",
    "ALTER TABLE users ALTER created_at TYPE timestamp",
    "ALTER TABLE users ALTER id TYPE bigint",
    "ALTER TABLE tasks ALTER progress TYPE real",
    "ALTER TABLE datasets ALTER quality_report TYPE json USING quality_report::json",
    "ALTER TABLE users DROP CONSTRAINT users_email_key",
    "ALTER TABLE project_permissions DROP CONSTRAINT project_permissions_user_id_project_id_key",
    "ALTER TABLE celery_tasks DROP CONSTRAINT celery_tasks_pkey",
    "ALTER TABLE projects DROP CONSTRAINT projects_owner_id_fkey",
    (
        "ALTER TABLE projects DROP CONSTRAINT projects_owner_id_fkey, "
        "ADD CONSTRAINT projects_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users(id) "
        "ON DELETE CASCADE"
    ),
    (
        "ALTER TABLE projects DROP CONSTRAINT projects_owner_id_fkey, "
        "ADD CONSTRAINT projects_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users(id) "
        "ON DELETE SET NULL DEFERRABLE"
    ),
    "ALTER TABLE tasks ADD FOREIGN KEY (priority) REFERENCES users(id)",
    "ALTER SEQUENCE users_id_seq OWNED BY NONE",
    "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
    "DROP INDEX idx_tasks_status",
    "DROP INDEX idx_users_uuid",
    (
        "DROP INDEX idx_notifications_unread; "
        "CREATE INDEX idx_notifications_unread ON notifications(user_id, is_read)"
    ),
    (
        "DROP INDEX idx_notifications_unread; "
        "CREATE INDEX idx_notifications_unread ON notifications(user_id) WHERE is_read = FALSE"
    ),
    "DROP INDEX idx_tasks_status; CREATE UNIQUE INDEX idx_tasks_status ON tasks(status)",
    "DROP TABLE notifications CASCADE",
    "DELETE FROM roles WHERE name = 'viewer'",
    "UPDATE roles SET is_system = FALSE WHERE name = 'viewer'",
    "UPDATE roles SET description = 'all' WHERE name = 'admin'",
    """UPDATE roles SET permissions = permissions || '["members:read"]' WHERE name = 'viewer'""",
    "INSERT INTO roles (name, is_system) VALUES ('fourth', TRUE)",
]


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_comparison_finds_each_altered_definition(
    owner_url: str, contract_url: str, alteration: str
) -> None:
    with psycopg.connect(contract_url) as expected, psycopg.connect(owner_url) as given:
        contract = read_catalog(expected)
        given.execute(alteration)
        assert differences(contract, read_catalog(given))
        given.rollback()
        assert not differences(contract, read_catalog(given))


@pytest.mark.parametrize(
    "addition",
    [
        "CREATE INDEX further ON tasks (name)",
        "CREATE UNIQUE INDEX further ON datasets (project_id, name)",
        "ALTER TABLE tasks ADD CHECK (priority < 100)",
        "ALTER TABLE datasets ADD UNIQUE (project_id, name, version)",
    ],
)
def test_comparison_allows_additional_indexes_and_constraints(
    owner_url: str, contract_url: str, addition: str
) -> None:
    with psycopg.connect(contract_url) as expected, psycopg.connect(owner_url) as given:
        given.execute(addition)
        assert not differences(read_catalog(expected), read_catalog(given))
        given.rollback()


def test_migrated_database_accepts_rows_of_the_contract(owner_url: str) -> None:
    """Insert the contract's own rows, and a minimal row into each table."""
    with psycopg.connect(owner_url) as connection:
        users = DATA[DATA.index("INSERT INTO users") :]
        connection.execute(users)
        connection.execute(
            """
            INSERT INTO projects (name, owner_id) SELECT 'p', id FROM users;
            INSERT INTO experiments (project_id, name) SELECT id, 'e' FROM projects;
            INSERT INTO datasets (project_id, name) SELECT id, 'd' FROM projects;
            INSERT INTO dataset_versions (dataset_id, version) SELECT id, 'v1' FROM datasets;
            INSERT INTO models (project_id, name) SELECT id, 'm' FROM projects;
            INSERT INTO tasks (project_id, name, type) SELECT id, 't', 'training' FROM projects;
            INSERT INTO project_permissions (user_id, project_id, role_id)
                SELECT u.id, p.id, r.id FROM users u, projects p, roles r LIMIT 1;
            INSERT INTO audit_logs (user_id, action) SELECT id, 'a' FROM users;
            INSERT INTO notifications (user_id, type, title) SELECT id, 't', 't' FROM users;
            INSERT INTO celery_tasks (id, name) VALUES ('x', 'n');
            INSERT INTO roles (name) VALUES ('r');
            """
        )
        uuids = connection.execute("SELECT uuid FROM users UNION SELECT uuid FROM projects")
        assert len(uuids.fetchall()) == 2
        connection.rollback()


class TestUpgrade:
    def test_upgrade_of_current_database_changes_nothing(
        self, owner_url: str, contract_url: str
    ) -> None:
        assert migrate.upgrade() == (migrate.expected_revision(), migrate.expected_revision())
        assert migrate.check() == (migrate.expected_revision(), migrate.expected_revision())
        assert compare(contract_url, owner_url) == []

    def test_concurrent_upgrades_migrate_once(self, postgres: PostgresServer) -> None:
        from concurrent.futures import ThreadPoolExecutor

        url = postgres.create_database("aip_race")
        try:
            with own_role(url), ThreadPoolExecutor(2) as pool:
                before = [f.result()[0] for f in [pool.submit(migrate.upgrade) for _ in range(2)]]
            assert sorted(before, key=str) == [migrate.expected_revision(), None]
        finally:
            postgres.drop_database("aip_race")


SERVERS = {f"system-{found.major}": found for found in debian()}


@pytest.fixture(scope="module", params=[*SERVERS, "bare"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """Start each installed server and the bundled one in turn, without bundled extensions."""
    name = request.param
    binaries = find_postgres() if name == "bare" else SERVERS[name]
    with private_postgres(binaries, extensions=False) as server:
        yield server


@pytest.mark.parametrize("may_create_extensions", [True, False])
def test_upgrade_on_other_servers_without_superuser_matches_contract(
    server: PostgresServer, may_create_extensions: bool
) -> None:
    url = server.create_database("platform")
    assert server.superuser_url is not None
    if not may_create_extensions:
        with psycopg.connect(server.superuser_url, autocommit=True) as connection:
            connection.execute(f"REVOKE CREATE ON DATABASE platform FROM {OWNER}, PUBLIC")
    with own_role(url):
        before, after = migrate.upgrade()
    assert (before, after) == (None, migrate.expected_revision())
    assert compare(make_contract(server, "contract"), url) == []
    with psycopg.connect(url) as connection:
        extensions = _column(connection, "SELECT extname FROM pg_extension")
        assert may_create_extensions or "uuid-ossp" not in extensions
        superuser = _column(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = user")
        assert superuser == [False]
        made = _column(connection, "SELECT uuid_generate_v4() FROM generate_series(1, 3)")
        assert len(set(made)) == 3
    server.drop_database("platform")


def _column(connection: "psycopg.Connection[Any]", statement: str) -> list[Any]:
    return [row[0] for row in connection.execute(statement)]

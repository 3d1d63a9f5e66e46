"""Tests of migrations, which can't be reverted."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from aiplatform.server.core import migrate

VERSIONS = sorted((migrate.migrations_dir() / "versions").glob("*.py"))


@pytest.mark.parametrize("path", VERSIONS, ids=[path.stem for path in VERSIONS])
def test_downgrade_of_each_migration_is_refused(path: Path) -> None:
    """Check that a downgrade, which would delete data, fails with an error that names backups."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(RuntimeError, match="backup"):
        module.downgrade()


@pytest.fixture
def foreign_database(fresh_database: str) -> str:
    """Return the URL of a database at a revision unknown to this program."""
    with psycopg.connect(os.environ["AIPLATFORM_MIGRATION_DATABASE_URL"]) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0038'")
    return fresh_database


@pytest.mark.usefixtures("foreign_database")
@pytest.mark.parametrize("refuse", [migrate.upgrade, migrate.require_current])
def test_database_of_an_unknown_revision_is_refused_and_left_as_it_is(
    refuse: Callable[[], object],
) -> None:
    with pytest.raises(migrate.UnknownRevision, match=r"revision 0038.*before version 0\.1\.0"):
        refuse()
    assert migrate.check()[0] == "0038"


@pytest.mark.usefixtures("fresh_database")
def test_upgrade_of_a_current_database_changes_nothing() -> None:
    newest = migrate.expected_revision()
    assert migrate.upgrade() == (newest, newest)

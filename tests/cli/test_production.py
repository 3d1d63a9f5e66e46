"""Tests of ``aiplatform db``, with a given database and with the local platform's."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from tests.cli.conftest import Ran

Run = Callable[..., Ran]
TAKEN = ("HOME", "DATABASE_URL", "STORAGE_URL", "MIGRATION_DATABASE_URL")


@pytest.fixture
def embedded(run: Run, fresh_database: str, home: Path) -> Iterator[SimpleNamespace]:
    """Simulate a platform that runs in its home directory, without a setting for its database."""
    from aiplatform.server.core.settings import get_settings

    state = SimpleNamespace(
        supervisor_alive=True,
        home=str(home),
        database_url=fresh_database,
        storage_url=home.as_uri(),
        migration_database_url=fresh_database,
        owner_url=os.environ["AIPLATFORM_MIGRATION_DATABASE_URL"],
    )
    # Use a separate MonkeyPatch: that of `run` would restore settings of a database that is gone.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aiplatform.embedded.state.read_state", lambda _: state)
        for name in TAKEN:
            # Set it first, so that the patch undoes a setting made by a command.
            patch.setenv(f"AIPLATFORM_{name}", "")
            patch.delenv(f"AIPLATFORM_{name}")
        get_settings.cache_clear()
        yield state


@pytest.mark.usefixtures("embedded")
def test_check_without_settings_checks_the_local_platform(run: Run) -> None:
    done = run("db", "check", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["ok"] is True


@pytest.mark.usefixtures("embedded")
def test_upgrade_without_settings_upgrades_the_local_platform(run: Run) -> None:
    done = run("db", "upgrade", "--json")
    assert done.code == 0, done.err
    upgraded = json.loads(done.out)
    assert upgraded["before"] == upgraded["after"]


@pytest.mark.parametrize("action", ["check", "upgrade"])
def test_database_with_unknown_revision_is_refused_with_a_hint(
    run: Run, embedded: SimpleNamespace, action: str
) -> None:
    with psycopg.connect(embedded.owner_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0038'")
    done = run("db", action)
    assert done.code == 1
    assert "revision 0038, which this program does not know" in done.err
    assert "begin with an empty database" in done.err


def test_rotate_keys_without_settings_uses_the_local_platform(
    run: Run, embedded: SimpleNamespace
) -> None:
    done = run("db", "rotate-keys", "--new-key", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)
    assert (Path(embedded.home) / "keys/secrets.key").exists()


def test_database_named_in_a_file_takes_precedence_over_the_local_platform(
    run: Run, embedded: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text(f"{embedded.database_url}\n")
    monkeypatch.setenv("AIPLATFORM_DATABASE_URL_FILE", str(tmp_path / "url"))
    embedded.database_url = "postgresql://nobody@127.0.0.1:1/nowhere"
    done = run("db", "check", "--json")
    assert done.code == 0, done.err

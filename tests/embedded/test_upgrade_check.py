from pathlib import Path

import pytest

from aiplatform.embedded import upgrade_check
from aiplatform.embedded.home import Home
from aiplatform.embedded.upgrade_check import migrations_fingerprint, needs_upgrade, record_upgrade


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create migrations next to ``src/aiplatform``, as in a checkout; return their directory."""
    package = tmp_path / "src" / "aiplatform"
    versions = tmp_path / "migrations" / "versions"
    package.mkdir(parents=True)
    versions.mkdir(parents=True)
    (tmp_path / "migrations" / "env.py").write_text("")
    (versions / "0001.py").write_text("revision = '0001'")
    monkeypatch.setattr(
        upgrade_check, "migrations_fingerprint", lambda: migrations_fingerprint(package)
    )
    return versions


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.run.mkdir(parents=True)
    return home


def test_upgrade_is_needed_once(home: Home, scripts: Path) -> None:
    assert needs_upgrade(home, None)
    assert needs_upgrade(home, "0001")  # no upgrade was recorded
    record_upgrade(home, "0001")
    assert not needs_upgrade(home, "0001")


def test_new_or_changed_migrations_need_an_upgrade(home: Home, scripts: Path) -> None:
    record_upgrade(home, "0001")
    (scripts / "0002.py").write_text("revision = '0002'")
    assert needs_upgrade(home, "0001")
    record_upgrade(home, "0002")
    (scripts / "0002.py").write_text("revision = '0003'")
    assert needs_upgrade(home, "0002")


def test_restored_older_database_needs_an_upgrade(home: Home, scripts: Path) -> None:
    record_upgrade(home, "0002")
    assert needs_upgrade(home, "0001")
    assert needs_upgrade(home, None)


def test_damaged_note_or_missing_migrations_need_an_upgrade(
    home: Home, scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_upgrade(home, "0001")
    (home.run / "migrated.json").write_text("{")
    assert needs_upgrade(home, "0001")
    monkeypatch.setattr(upgrade_check, "migrations_fingerprint", lambda: None)
    record_upgrade(home, "0001")
    assert needs_upgrade(home, "0001")


def test_migrations_fingerprint_finds_the_installed_migrations() -> None:
    assert migrations_fingerprint() is not None

"""Migration of the database, and the check of its revision, for ``aiplatform db``."""

import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

import aiplatform
from aiplatform.server.core import roles
from aiplatform.server.core.locks import AdvisoryLock
from aiplatform.server.core.settings import get_settings


def migrations_dir() -> Path:
    """Return the directory of the migrations, in an installed package or in a checkout."""
    package = Path(aiplatform.__file__).parent
    for candidate in (package / "migrations", package.parents[1] / "migrations"):
        if (candidate / "env.py").is_file():
            return candidate
    raise FileNotFoundError("the migration scripts are missing from this installation")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_dir()))
    # Alembic splits this option at the separator, and a directory may contain the default one.
    config.set_main_option("path_separator", "newline")
    return config


def expected_revision() -> str:
    """Return the newest revision that this program knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the database; None if it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade() -> tuple[str | None, str]:
    """Migrate to the newest revision. Return the revisions before and after.

    The privileges of the runtime role are granted every time. That costs little, and corrects what
    was restored from a dump or granted by hand.

    Raises:
        RoleMissing: the runtime role does not exist. The schema is migrated nevertheless.
    """
    config = _config()
    role = roles.runtime_role(get_settings())
    engine = create_engine(get_settings().migration_url)
    try:
        with engine.connect() as connection:
            connection.execute(
                text("SELECT pg_advisory_lock(:key)"), {"key": int(AdvisoryLock.MIGRATION)}
            )
            connection.commit()
            before = current_revision(connection)
            connection.commit()
            if before != expected_revision():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
            roles.forbid_shadows(connection)
            connection.commit()
            if role is not None:
                roles.grant(connection, role)
                connection.commit()
            connection.execute(
                text("SELECT pg_advisory_unlock(:key)"), {"key": int(AdvisoryLock.MIGRATION)}
            )
            connection.commit()
    finally:
        engine.dispose()
    return before, expected_revision()


def check() -> tuple[str | None, str]:
    """Return the revision of the database and the one that this program expects."""
    engine = create_engine(get_settings().sqlalchemy_url)
    try:
        with engine.connect() as connection:
            return current_revision(connection), expected_revision()
    finally:
        engine.dispose()


class WrongRevision(RuntimeError):
    """A database whose revision is not the one that this program needs."""


def require_current(*, attempts: int = 10, pause_seconds: float = 0.5) -> None:
    """Wait a few seconds for the database, and refuse to start if its revision is another one.

    Raises:
        WrongRevision: the message says what to run.
        OperationalError: the database can't be reached.
    """
    for attempt in range(1, attempts + 1):
        try:
            current, expected = check()
            break
        except OperationalError:
            if attempt == attempts:
                raise
            time.sleep(pause_seconds)
    if current != expected:
        raise WrongRevision(
            f"the database is at revision {current or 'none'}, this program needs {expected}; "
            "run `aiplatform db upgrade`"
        )

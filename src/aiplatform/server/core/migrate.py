"""``aiplatform db upgrade`` and ``check``: the schema and this program's revision."""

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
    """The scripts: inside an installed package, or at the root of a checkout."""
    package = Path(aiplatform.__file__).parent
    for candidate in (package / "migrations", package.parents[1] / "migrations"):
        if (candidate / "env.py").is_file():
            return candidate
    raise FileNotFoundError("the migration scripts are missing from this installation")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_dir()))
    # The option is split on a separator; the directory may contain one.
    config.set_main_option("path_separator", "newline")
    return config


def expected_revision() -> str:
    """The newest revision that this program knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade() -> tuple[str | None, str]:
    """Migrate to the newest revision. Returns the revisions before and after.

    What the running role needs is granted each time: that costs little, and makes up for whatever
    was restored or granted by hand.

    Raises:
        RoleMissing: when that role does not exist; the schema is migrated then.
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
    """The revision of the database and the one this program expects."""
    engine = create_engine(get_settings().sqlalchemy_url)
    try:
        with engine.connect() as connection:
            return current_revision(connection), expected_revision()
    finally:
        engine.dispose()


class WrongRevision(RuntimeError):
    """The database is not at the revision of this program."""


def require_current(*, attempts: int = 10, pause_seconds: float = 0.5) -> None:
    """Wait for the database for a few seconds, and refuse to start on another revision.

    Raises:
        WrongRevision: says what to run.
        OperationalError: when the database can't be reached.
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

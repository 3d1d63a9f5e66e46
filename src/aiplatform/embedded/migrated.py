"""A quick check of whether ``db upgrade`` has migrations to run.

``db upgrade`` takes more than a second even if there is nothing to do, because it imports
SQLAlchemy and Alembic, but an existing home should be ready within six seconds. So after an
upgrade, the home stores a hash of the migrations and the revision that they led to. While both are
the same, the upgrade is skipped. API and worker check the revision in any case.
"""

import contextlib
import hashlib
import json
from pathlib import Path

import aiplatform
from aiplatform.embedded.home import Home
from aiplatform.embedded.postgres import RUNTIME


def scripts_fingerprint(package: Path = Path(aiplatform.__file__).parent) -> str | None:
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
    scripts = scripts_fingerprint()
    if revision is None or scripts is None:
        return True
    try:
        noted = json.loads(_note(home).read_text("utf-8"))
    except (OSError, ValueError):
        return True
    return bool(noted != _noted(scripts, revision))


def note_upgrade(home: Home, revision: str | None) -> None:
    """Store that the present migrations led to ``revision``."""
    scripts = scripts_fingerprint()
    if revision is None or scripts is None:
        return
    # If the disk is full, the next start only takes a second longer.
    with contextlib.suppress(OSError):
        text = json.dumps(_noted(scripts, revision))
        temporary = _note(home).with_suffix(".tmp")
        temporary.write_text(text, "utf-8")
        temporary.replace(_note(home))


def _noted(scripts: str, revision: str) -> dict[str, str]:
    # The upgrade grants the runtime role its rights. Homes of earlier releases have no such role,
    # so they need the upgrade once more.
    return {"scripts": scripts, "revision": revision, "role": RUNTIME}


def _note(home: Home) -> Path:
    return home.run / "migrated.json"

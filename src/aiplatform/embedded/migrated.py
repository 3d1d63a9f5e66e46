"""Whether ``db upgrade`` has anything to do, known without starting it.

An interpreter with SQLAlchemy and Alembic takes more than a second to say "nothing", of the six in
which an existing home should be ready. So after an upgrade the home remembers the scripts it was
made with and the revision it led to; while the scripts are the same and the database is at that
revision, it would do nothing again. API and worker refuse a wrong revision all the same.
"""

import contextlib
import hashlib
import json
from pathlib import Path

import aiplatform
from aiplatform.embedded.home import Home
from aiplatform.embedded.postgres import RUNTIME


def scripts_fingerprint(package: Path = Path(aiplatform.__file__).parent) -> str | None:
    """What tells these migration scripts from others; None when they are not found."""
    for candidate in (package / "migrations", package.parents[1] / "migrations"):
        if (candidate / "env.py").is_file():
            digest = hashlib.sha256()
            for script in sorted(candidate.glob("versions/*.py")):
                digest.update(script.name.encode() + b"\0" + script.read_bytes() + b"\0")
            return digest.hexdigest()
    return None


def needs_upgrade(home: Home, revision: str | None) -> bool:
    """Whether the scripts may lead beyond the ``revision`` that the database is at."""
    scripts = scripts_fingerprint()
    if revision is None or scripts is None:
        return True
    try:
        noted = json.loads(_note(home).read_text("utf-8"))
    except (OSError, ValueError):
        return True
    return bool(noted != _noted(scripts, revision))


def note_upgrade(home: Home, revision: str | None) -> None:
    """Remember that these scripts led to ``revision``."""
    scripts = scripts_fingerprint()
    if revision is None or scripts is None:
        return
    # A full disk costs the next start a second, no more.
    with contextlib.suppress(OSError):
        text = json.dumps(_noted(scripts, revision))
        temporary = _note(home).with_suffix(".tmp")
        temporary.write_text(text, "utf-8")
        temporary.replace(_note(home))


def _noted(scripts: str, revision: str) -> dict[str, str]:
    # The running role is granted its rights by the upgrade; homes of before have no such role.
    return {"scripts": scripts, "revision": revision, "role": RUNTIME}


def _note(home: Home) -> Path:
    return home.run / "migrated.json"

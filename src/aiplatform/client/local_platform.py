"""Look-up of the address of the server that a client uses.

The first of these addresses that exists is used:

1. the ``url`` argument, or ``--url`` of the command line
2. ``AIPLATFORM_URL``
3. the server of the last login. A login at a platform that `aiplatform up` runs on this machine is
   stored with its home directory, and follows that platform to another port. It counts only while
   the platform runs.
4. the platform that runs in ``AIPLATFORM_HOME``, or in the default home directory
5. the server of the last login, although its platform is not running
6. http://127.0.0.1:8400
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from aiplatform.client.credentials import CredentialStore
from aiplatform.protocol.platform_home import STATE_FILE, home_directory

DEFAULT_URL = "http://127.0.0.1:8400"


def find_address(given: str | None, store: CredentialStore) -> str:
    """Return the address of the server, in the order described by this module."""
    if named := given or os.environ.get("AIPLATFORM_URL"):
        return named
    last, home = store.current()
    if last is not None and home is None:
        return last
    if last is not None and home is not None and (url := running_url(home)):
        return _follow(store, last, url, home)
    return running_url(home_directory()) or last or DEFAULT_URL


def home_at(url: str) -> Path | None:
    """Return the home directory of the platform running at ``url`` on this machine."""
    home = _resolved(home_directory())
    return home if home is not None and running_url(home) == url.rstrip("/") else None


def running_url(home: Path) -> str | None:
    """Return the address of the platform running in ``home``, or None if none is running.

    A state file that can't be read, for instance another user's, is treated as missing.
    """
    if sys.platform == "win32":  # Windows has no embedded mode, and os.kill would end the process
        return None
    try:
        state = json.loads((home / STATE_FILE).read_bytes())
        url, pid = str(state["url"]), int(state["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:  # the process belongs to another user
        return url
    except (OSError, OverflowError):
        return None
    return url


def _follow(store: CredentialStore, last: str, url: str, home: Path) -> str:
    """Move the login from the platform's former address to its current one."""
    if url != last:
        with store.lock():
            session = store.read(last)
            if session is not None and store.read(url) is None:
                store.write(replace(session, url=url), make_current=True, home=home)
                store.remove(last)
    return url


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return None

"""The data directory of the embedded platform on this machine.

`aiplatform up` writes a state file into this directory. The SDK and the command line read the
address of the running platform from it.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from platformdirs import site_data_path, user_data_path

STATE_FILE = Path("run") / "state.json"
"""Path of the state file in the data directory."""


def default_home() -> Path:
    """Return the data directory that is used if none is specified.

    PostgreSQL refuses to run as root, and other users can't read root's home directory. Therefore
    root's data is stored where system services store theirs.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return user_data_path("aiplatform")
    return Path("/var/lib/aiplatform") if sys.platform == "linux" else site_data_path("aiplatform")


def home_directory(given: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return ``given``, or else ``AIPLATFORM_HOME``, or else the default directory, unresolved."""
    named = given or (Path(text) if (text := environ.get("AIPLATFORM_HOME")) else None)
    return named.expanduser() if named is not None else default_home()

"""Where the embedded platform of this machine keeps its data, for the programs that look for it.

`aiplatform up` writes a state file into its home, and the SDK and the command line read the address
of the running platform from it. Both sides take the paths from here.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from platformdirs import site_data_path, user_data_path

STATE_FILE = Path("run") / "state.json"
"""Path of the state file below the home."""


def default_home() -> Path:
    """Return the home that is used when no other is named.

    PostgreSQL refuses to run as root and root's own directories are closed to everyone else, so
    root's home is where system services keep their data.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return user_data_path("aiplatform")
    return Path("/var/lib/aiplatform") if sys.platform == "linux" else site_data_path("aiplatform")


def home_directory(given: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return ``given``, else ``AIPLATFORM_HOME``, else the default home, not yet resolved."""
    named = given or (Path(text) if (text := environ.get("AIPLATFORM_HOME")) else None)
    return named.expanduser() if named is not None else default_home()

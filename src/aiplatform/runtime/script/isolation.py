"""A program that tests script isolation: ``python -m aiplatform.runtime.script.isolation``.

The worker and ``aiplatform doctor`` run it. It starts a command in a sandbox exactly as
it would start a script, and prints the result as a JSON object.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.script.cgroups import Group, trees
from aiplatform.runtime.script.directories import PREFIX, free_uid
from aiplatform.runtime.script.sandbox import Sandbox, SandboxRefused, Start, first_closed_directory

ORDINARY = "it runs as an ordinary user"


def try_isolation() -> dict[str, Any]:
    """Try to run a command in isolation and return the result.

    ``isolated`` is True if a sandbox works; otherwise ``reason`` says why not. ``groups`` contains
    the control group version for each of ``memory``, ``pids`` and ``kill`` that is available.
    ``closed`` is a directory whose permissions keep scripts from running this interpreter, or None.
    """
    python = Path(sys.executable)
    if os.geteuid() != 0:
        return {"isolated": False, "reason": ORDINARY, "groups": {}, "closed": None}
    root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}trial-", dir="/var/tmp"))
    group = Group(root.name, trees(), memory_mb=64, processes=64)
    closed = first_closed_directory(python)
    found: dict[str, Any] = {
        "isolated": True,
        "reason": None,
        "groups": {},
        "closed": None if closed is None else str(closed),
    }
    try:
        found |= try_sandbox(root, group)
        found["groups"] = group.versions  # excludes groups that the command could not join
    except (JobError, OSError) as error:
        found |= {"isolated": False, "reason": f"the system refuses {error}"}
    finally:
        group.kill()
        group.remove()
        shutil.rmtree(root, ignore_errors=True)
    return found


def try_sandbox(root: Path, group: Group) -> dict[str, Any]:
    """Run a command in a sandbox and return the kernel features that the sandbox uses.

    Raises:
        SandboxRefused: The system does not allow a sandbox or the change of user.
    """
    uid = free_uid()
    os.chown(root, 0, uid)
    root.chmod(0o710)
    for name in ("tmp", "var-tmp"):
        (root / name).mkdir()
    sandbox = Sandbox(
        root,
        uid,
        Path("/"),
        limits=[],
        join_files=group.join_files,
        on_join_failure=group.record_join_failure,
    )
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        (command,) = sandbox.start([Start(["true"], {"PATH": "/usr/bin:/bin"}, silent)])
        if command.wait() and not isinstance(command.error, FileNotFoundError):
            raise SandboxRefused(str(command.error or "a user of its own"))
    finally:
        os.close(silent)
        sandbox.close()
    return sandbox.facts


if __name__ == "__main__":
    sys.stdout.write(json.dumps(try_isolation()) + "\n")

"""Other programs to compare with, each installed into its own directory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs

from common.figures import progress

HOME = platformdirs.user_cache_path("aiplatform-bench", appauthor=False)
INSTALL_SECONDS = 900
RUN_SECONDS = 240


def install(package: str, *requirements: str) -> Path | None:
    """Install a package if needed and return its directory, or None if it can't be installed.

    Args:
        package: name of the directory, and of the package if there are no ``requirements``.
        requirements: requirements passed to pip.
    """
    target = HOME / package
    if not (target / ".complete").exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target)]
        command += requirements or [package]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            progress(f"{package} can't be installed, so it is not compared with: {error}")
            return None
        (target / ".complete").touch()
    return target


def run_program(package: str, program: str, directory: Path, *arguments: str) -> Any:
    """Run a program that may import the package; return its last line, parsed as JSON, or None."""
    installation = install(package)
    if installation is None:
        return None
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(installation),
        "HOME": str(directory),
        "DVC_NO_ANALYTICS": "1",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd=directory,
            env=environment,
            timeout=RUN_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"")[-500:]
        progress(f"{package} failed, so it is not compared with: {error} {said!r}")
        return None
    return json.loads(done.stdout.splitlines()[-1])


OXEN = """
import json, shutil, sys, time
import oxen
before, after, repo = sys.argv[1:]
oxen.user.config_user("Bench", "bench@example.com")
store = oxen.Repo(repo, mkdir=True)
store.init()
commits = []
for source in (before, after):
    shutil.copyfile(source, f"{repo}/rows.parquet")
    began = time.perf_counter()
    store.add(f"{repo}/rows.parquet")
    store.commit("c")
    commits.append(time.perf_counter() - began)
diffs = []
for _ in range(3):
    began = time.perf_counter()
    oxen.diff(before, to=after, keys=["id"], compares=["text", "label", "score"])
    diffs.append(time.perf_counter() - began)
print()
print(json.dumps({"commit": commits[1], "diff": min(diffs)}))
"""

DVC = """
import json, shutil, sys, time
from dvc.repo import Repo
before, after, home = sys.argv[1:]
repo = Repo.init(home, no_scm=True)
commits = []
for source in (before, after):
    shutil.copyfile(source, f"{home}/rows.parquet")
    began = time.perf_counter()
    repo.add(f"{home}/rows.parquet")
    commits.append(time.perf_counter() - began)
print()
print(json.dumps({"commit": commits[1]}))
"""


def size_of(directory: Path) -> int:
    """Return the total size in bytes of all files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())

"""Tests of a worker that really runs as an ordinary user and so can't isolate scripts."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiplatform.protocol.messages import Job, encode
from tests.runtime.harness import Runner

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

BECOME_NOBODY = f"""
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
"""

# The modules are imported before switching to the user, who may not be allowed to read them.
OFFER = f"""
import json, os
from aiplatform.runtime.script.isolation import try_isolation
from aiplatform.server.core.settings import get_settings
from aiplatform.server.execution.service.workers import script_labels
{BECOME_NOBODY}
print(json.dumps([try_isolation(), sorted(script_labels(get_settings()))]))
"""
LAUNCH = f"""
import os, sys
import aiplatform.runtime.script.run
from aiplatform.runtime.launcher import launch, parse_arguments
{BECOME_NOBODY}
sys.exit(launch(parse_arguments(sys.argv[1:])))
"""


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Create a directory that all users may enter, unlike pytest's directories."""
    with tempfile.TemporaryDirectory(prefix="aiplatform-test-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def offered(**variables: str) -> tuple[dict[str, Any], list[str]]:
    """Return the result of trying isolation as ``nobody``, and the labels of such a worker."""
    kept = {name: value for name, value in os.environ.items() if "AIPLATFORM" not in name}
    done = subprocess.run(
        [sys.executable, "-c", OFFER],
        env={**kept, "AIPLATFORM_SCRIPTS": "true", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found, labels = json.loads(done.stdout.splitlines()[-1])
    return found, labels


def test_worker_as_ordinary_user_offers_no_environment() -> None:
    found, labels = offered()
    assert (found["isolated"], found["reason"]) == (False, "it runs as an ordinary user")
    assert labels == ["scripts-refused"]


def test_worker_as_ordinary_user_offers_environments_if_allowed() -> None:
    _, labels = offered(AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION="true")
    assert labels == ["script:default"]


@pytest.mark.parametrize("required", [True, False])
def test_runtime_as_ordinary_user_refuses_scripts_unless_allowed(
    make_job: Callable[..., Job], open_directory: Path, required: bool
) -> None:
    made = make_job("", command=["sh", "-c", "echo I am $(id -u)"])
    directory = open_directory / "attempt"
    for name in ("output", "checkpoints"):
        (directory / name).mkdir(parents=True)
    bundle = directory / "bundle.tar.gz"
    bundle.write_bytes(Path(made.inputs["code"]).read_bytes())
    made.inputs = {"code": str(bundle)}
    made.output_dir = str(directory / "output")
    made.checkpoint_dir = str(directory / "checkpoints")
    made.isolation_required = required
    (directory / "job.json").write_bytes(encode(made))
    for path in (directory, *directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    with Runner(["-c", LAUNCH, "--job", str(directory / "job.json")]) as runner:
        runner.finish(300)
        printed, outcome = runner.outputs["stdout"].decode(), runner.outcome
    if required:
        assert outcome["type"] == "failure"
        assert "can't isolate scripts from each other: it runs as an ordinary user" in str(outcome)
        assert "AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION=true" in str(outcome)
        assert printed == ""
    else:
        assert outcome["type"] == "result"
        assert f"I am {NOBODY}" in printed

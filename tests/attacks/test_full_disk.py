"""Attack: a user fills the disk. The health report must show this."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aiplatform.server.core.disks import DiskChecks, check_directory
from aiplatform.server.core.settings import get_settings
from aiplatform.server.telemetry.endpoints import health
from tests.conftest import environment
from tests.openapi_checks import CheckedClient

FULL = """
import sys
from pathlib import Path
from aiplatform.server.core.disks import check_directory
found = check_directory(Path(sys.argv[1]), 0)
print(found.ok, found.detail)
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "disks", DiskChecks())


def test_health_with_free_disk_space_is_ok(client: CheckedClient) -> None:
    with environment(AIPLATFORM_MIN_FREE_DISK_BYTES="1"):
        checks = client.get("/api/v1/health/details").json()["checks"]
    for part in ("uploads", "storage"):
        assert checks[part]["ok"], checks
        assert checks[part]["detail"].startswith("writable, ")


def test_health_with_disk_below_limit_is_degraded(client: CheckedClient) -> None:
    with environment(AIPLATFORM_MIN_FREE_DISK_BYTES=str(1 << 60)):
        answer = client.get("/api/v1/health/details")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    for part in ("uploads", "storage"):
        found = answer.json()["checks"][part]
        assert not found["ok"]
        assert "AIPLATFORM_MIN_FREE_DISK_BYTES demands" in found["detail"]


def test_health_with_unwritable_directory_is_degraded(
    client: CheckedClient, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with environment(AIPLATFORM_STORAGE_URL=(tmp_path / "file" / "blobs").as_uri()):
        answer = client.get("/api/v1/health/details")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert not answer.json()["checks"]["storage"]["ok"]
    assert str(tmp_path) not in answer.text


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to mount a small disk")
def test_disk_check_on_full_disk_fails(tmp_path: Path) -> None:
    mounted = f"mount -t tmpfs -o size=32k tmpfs {tmp_path} && exec "
    # The system's directory for temporary files is not on the small disk.
    program = f"{mounted} '{sys.executable}' -c \"$0\" {tmp_path}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", program, FULL],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if "Operation not permitted" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip("this machine lets nobody mount a small disk")
    assert done.stdout == "False can't be written to: No space left on device\n", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_health_report_leaves_no_file(client: CheckedClient) -> None:
    client.get("/api/v1/health/details")
    assert check_directory(get_settings().spool_dir, 0).ok
    assert list(get_settings().spool_dir.iterdir()) == []


def test_disk_check_is_cached_for_some_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks, directory = DiskChecks(), tmp_path / "spool"
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert checks.check(directory, 0).ok
    directory.rmdir()
    directory.touch()
    assert checks.check(directory, 0).ok
    now += 6
    assert not checks.check(directory, 0).ok

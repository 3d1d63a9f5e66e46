"""Code bundles: a directory or a git commit, packed so that equal code gives equal bytes."""

import gzip
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from aiplatform.client.base import Resource
from aiplatform.client.downloads import download
from aiplatform.client.errors import ClientError

PASSED_OVER = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "__pycache__", ".mypy_cache", ".pytest_cache",
     ".ruff_cache", "node_modules"}
)  # fmt: skip
"""Directories that no bundle of a directory holds."""


class Bundle(Resource):
    """Code that scripts run. ``size`` and ``unpacked_bytes`` in bytes."""

    uuid: UUID
    name: str
    sha256: str
    size: int
    files: int
    unpacked_bytes: int
    source: dict[str, Any] | None = None
    author: str | None = None
    created_at: datetime | None = None

    def download(self, directory: Path | str = ".") -> Path:
        """Fetch the archive into a directory, checked against its hash."""
        path = Path(directory) / f"{self.name}.tar.gz"
        return download(
            self.client.transport, f"bundles/{self.uuid}/content", path, sha256=self.sha256
        )

    def delete(self) -> None:
        """Delete it; refused while a task runs it or will."""
        self.client.transport.request("DELETE", f"bundles/{self.uuid}")


@dataclass(frozen=True)
class Packed:
    """A packed bundle, and where it comes from."""

    content: bytes
    source: dict[str, str]


def pack_directory(directory: Path) -> Packed:
    """Pack the files of a directory, but for what tools leave there.

    Raises:
        ClientError: for a symbolic link, or nothing to pack.
    """
    buffer = io.BytesIO()
    files = 0
    with _gzipped(buffer) as compressed, tarfile.open(fileobj=compressed, mode="w|") as archive:
        for path in _files(directory):
            info = tarfile.TarInfo(path.relative_to(directory).as_posix())
            status = path.stat()
            info.size = status.st_size
            info.mode = 0o755 if status.st_mode & 0o100 else 0o644
            with path.open("rb") as content:
                archive.addfile(info, content)
            files += 1
    if not files:
        raise ClientError(f"{directory} has no files")
    return Packed(buffer.getvalue(), {"directory": directory.resolve().name})


def pack_commit(repository: Path, commit: str) -> Packed:
    """Pack what a commit of a local git repository holds; what is not committed is left out.

    Raises:
        ClientError: when git is missing, or knows no such commit.
    """
    if commit.startswith("-"):
        raise ClientError(f"{commit!r} is no commit")
    sha = _git(repository, "rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    archive = _git(repository, "archive", "--format=tar", sha)
    buffer = io.BytesIO()
    with _gzipped(buffer) as compressed:
        compressed.write(archive)
    source = {"commit": sha}
    try:
        remote = _git(repository, "remote", "get-url", "origin").decode().strip()
    except ClientError:  # it has none
        return Packed(buffer.getvalue(), source)
    return Packed(buffer.getvalue(), {**source, "remote": _without_password(remote)})


def _without_password(remote: str) -> str:
    scheme, separator, rest = remote.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if separator else remote


def _git(repository: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments], capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise ClientError("git is not installed") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ClientError(f"git {arguments[0]} failed: {said}")
    return done.stdout


def _gzipped(buffer: BinaryIO) -> gzip.GzipFile:
    # Without the time of packing, so that the same code has the same hash.
    return gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0)


def _files(directory: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(directory):
        inner[:] = sorted(name for name in inner if name not in PASSED_OVER)
        for name in sorted([*names, *(i for i in inner if Path(folder, i).is_symlink())]):
            path = Path(folder, name)
            if path.is_symlink():
                raise ClientError(f"{path} is a symbolic link, which a bundle can't hold")
            if path.is_file() and path.suffix != ".pyc":
                yield path

"""Content by its SHA-256: immutable, stored once, in a directory or in an object store.

A blob is either there whole or not at all. In a directory that is temporary file, fsync, rename,
fsync of the folders; object stores promise it themselves.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from aiplatform.data.limits import MIB

CHUNK_BYTES = MIB
SHA256 = re.compile(r"[0-9a-f]{64}")
SHARD = re.compile(r"[0-9a-f]{2}")


class BlobNotFoundError(LookupError):
    """There is no such blob."""


class BlobDamagedError(RuntimeError):
    """What was stored or fetched is not what its name says."""


class StoreUnavailableError(OSError):
    """The store does not answer, or refuses what it should do."""


class BlobEntry(NamedTuple):
    """A blob as listed.

    Attributes:
        size: in bytes.
        modified: seconds since the epoch.
    """

    sha256: str
    size: int
    modified: float


class BlobStore(ABC):
    """A place for blobs. All methods may be called by many threads and processes at once.

    Each may raise an ``OSError`` when the place itself fails.
    """

    @abstractmethod
    def put_file(self, path: Path, sha256: str, *, move: bool = False) -> None:
        """Store the content of ``path``, whose hash is ``sha256``.

        Storing what is there already changes nothing. With ``move`` the file is gone afterwards,
        and on the same file system no byte is copied; its hash is then taken on trust. A copy is
        checked.

        Raises:
            BlobDamagedError: the content has another hash.
        """

    @abstractmethod
    def exists(self, sha256: str) -> bool:
        """Whether the blob is there."""

    @abstractmethod
    def size(self, sha256: str) -> int:
        """Its size in bytes.

        Raises:
            BlobNotFoundError: there is no such blob.
        """

    @abstractmethod
    def read(self, sha256: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Its bytes from ``offset`` on, ``length`` of them or all, in chunks of at most 1 MiB.

        Raises:
            BlobNotFoundError: there is no such blob; raised by the call, not by the first chunk.
        """

    @abstractmethod
    def fetch(self, sha256: str, dest: Path) -> None:
        """Make ``dest`` a read-only file with its content: a hard link where that is possible.

        What ``dest`` was before is replaced. Its folder must exist.

        Raises:
            BlobNotFoundError: there is no such blob.
            BlobDamagedError: the content is not what was stored.
        """

    @abstractmethod
    def delete(self, sha256: str) -> None:
        """Remove it; nothing happens if it is not there."""

    @abstractmethod
    def list(self) -> Iterator[BlobEntry]:
        """All blobs, in the order of their hashes; those that come and go meanwhile may be
        missing."""

    @abstractmethod
    def local_path(self, sha256: str) -> Path | None:
        """Where the blob lies on this machine, for reading; None if it lies elsewhere.

        Raises:
            BlobNotFoundError: there is no such blob.
        """

    @abstractmethod
    def sweep(self, older_than_seconds: float) -> int:
        """Remove what crashed writers left behind; returns how many files."""


def open_store(url: str) -> BlobStore:
    """The store at ``file:///directory`` or ``s3://bucket/prefix``.

    Object stores are configured by the environment: ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_ENDPOINT_URL`` and whatever else the AWS tools
    read.

    Raises:
        ValueError: the URL is neither.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return LocalBlobStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        # Only installations that use an object store load its client.
        from aiplatform.data.object_blobs import open_s3  # noqa: PLC0415

        return open_s3(parts.netloc, parts.path)
    raise ValueError(f"a blob store is file:///directory or s3://bucket/prefix, not {url!r}")


def blob_key(sha256: str) -> str:
    """Where a blob lies in its store: ``ab/cd/<sha256>``.

    Raises:
        ValueError: that is no SHA-256 in lower-case hexadecimal.
    """
    if SHA256.fullmatch(sha256) is None:
        raise ValueError(f"not a SHA-256: {sha256!r}")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def hash_file(path: Path) -> tuple[str, int]:
    """The SHA-256 of a file, in hexadecimal, and its size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LocalBlobStore(BlobStore):
    """Blobs in a directory, which several machines may share.

    Args:
        root: made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._incoming = self.root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def put_file(self, path: Path, sha256: str, *, move: bool = False) -> None:
        target = self._path(sha256)
        if target.exists():
            if move:
                path.unlink()
            return
        if move and path.stat().st_dev == self.root.stat().st_dev:
            self._seal(path)
            self._place(path, target)
            return
        temporary = self._copy_in(path, sha256)
        try:
            self._seal(temporary)
            self._place(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        if move:
            path.unlink()

    def _copy_in(self, path: Path, sha256: str) -> Path:
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        digest = hashlib.sha256()
        temporary = Path(name)
        try:
            with path.open("rb") as source, os.fdopen(descriptor, "wb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    target.write(chunk)
        except BaseException:
            temporary.unlink()
            raise
        if digest.hexdigest() != sha256:
            temporary.unlink()
            raise BlobDamagedError(f"{path} has the hash {digest.hexdigest()}, not {sha256}")
        return temporary

    @staticmethod
    def _seal(path: Path) -> None:
        path.chmod(0o444)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _place(self, path: Path, target: Path) -> None:
        missing = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)  # over the same content, if another writer was faster
        sync_directory(target.parent)
        for folder in missing:
            sync_directory(folder.parent)

    def exists(self, sha256: str) -> bool:
        return self._path(sha256).exists()

    def size(self, sha256: str) -> int:
        return self._existing(sha256).stat().st_size

    def read(self, sha256: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        # Opened here, so that a missing blob shows before an answer has begun, and a blob that is
        # deleted meanwhile is still read to its end.
        try:
            file = self._path(sha256).open("rb", buffering=0)
        except FileNotFoundError:
            raise BlobNotFoundError(sha256) from None

        def chunks() -> Iterator[bytes]:
            left = length
            with file:
                file.seek(offset)
                while left is None or left > 0:
                    chunk = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
                    if not chunk:
                        return
                    if left is not None:
                        left -= len(chunk)
                    yield chunk

        return chunks()

    def fetch(self, sha256: str, dest: Path) -> None:
        source = self._existing(sha256)
        size = source.stat().st_size
        temporary = dest.with_name(f".{dest.name}.{os.getpid()}.{time.monotonic_ns()}")
        try:
            try:
                os.link(source, temporary)
            except OSError:  # another file system, too many links, or links are not allowed
                shutil.copyfile(source, temporary)
                temporary.chmod(0o444)
            if temporary.stat().st_size != size:
                raise BlobDamagedError(f"{sha256} was cut short on its way to {dest}")
            temporary.rename(dest)
        finally:
            temporary.unlink(missing_ok=True)

    def delete(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)

    def list(self) -> Iterator[BlobEntry]:
        for first in _folders(self.root):
            for second in _folders(first):
                for path in sorted(second.iterdir()):
                    if SHA256.fullmatch(path.name) is None:
                        continue
                    try:
                        status = path.stat()
                    except FileNotFoundError:
                        continue
                    yield BlobEntry(path.name, status.st_size, status.st_mtime)

    def local_path(self, sha256: str) -> Path | None:
        return self._existing(sha256)

    def sweep(self, older_than_seconds: float) -> int:
        before = time.time() - older_than_seconds
        removed = 0
        for path in self._incoming.iterdir():
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue
        return removed

    def _path(self, sha256: str) -> Path:
        return self.root / blob_key(sha256)

    def _existing(self, sha256: str) -> Path:
        path = self._path(sha256)
        if not path.exists():
            raise BlobNotFoundError(sha256)
        return path


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if SHARD.fullmatch(p.name) and p.is_dir())

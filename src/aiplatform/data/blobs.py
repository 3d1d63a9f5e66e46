"""Stores for blobs: immutable file content named by its SHA-256, in a directory or object store.

A blob is either complete or absent. In a directory, this is achieved by a temporary file, fsync,
rename, and fsync of the folders; object stores guarantee it themselves.
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
    """The store has no such blob."""


class BlobDamagedError(RuntimeError):
    """Stored or fetched content does not match the hash that names it."""


class StoreUnavailableError(OSError):
    """The blob store does not respond, or rejects the request."""


class BlobEntry(NamedTuple):
    """An entry in the listing of a blob store.

    Attributes:
        sha256: The blob's SHA-256, in hexadecimal.
        size: Size in bytes.
        modified: Time of the last change, in seconds since the epoch.
    """

    sha256: str
    size: int
    modified: float


class BlobStore(ABC):
    """A store for blobs, safe to use from many threads and processes at the same time.

    Every method may raise an ``OSError`` when the store itself fails.
    """

    @abstractmethod
    def put_file(self, path: Path, sha256: str, *, move: bool = False) -> None:
        """Store the content of ``path``, whose hash is ``sha256``.

        If the blob is already stored, nothing is written. With ``move``, ``path`` no longer exists
        afterwards. The hash of the content is checked, unless ``move`` only renames the file
        because it is on the file system of the store.

        Raises:
            BlobDamagedError: the content has a different hash.
        """

    @abstractmethod
    def exists(self, sha256: str) -> bool:
        """Return True if the blob is stored."""

    @abstractmethod
    def size(self, sha256: str) -> int:
        """Return the size of a blob in bytes.

        Raises:
            BlobNotFoundError: there is no such blob.
        """

    @abstractmethod
    def read(self, sha256: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Return an iterator over ``length`` bytes of a blob (default: all) from ``offset``.

        Its chunks are at most 1 MiB long.

        Raises:
            BlobNotFoundError: there is no such blob; raised by the call itself, before iteration.
        """

    @abstractmethod
    def fetch(self, sha256: str, dest: Path) -> None:
        """Create the read-only file ``dest`` with the blob's content, if possible as a hard link.

        An existing ``dest`` is replaced. Its folder must exist.

        Raises:
            BlobNotFoundError: there is no such blob.
            BlobDamagedError: the stored content does not match its hash.
        """

    @abstractmethod
    def delete(self, sha256: str) -> None:
        """Delete a blob, if it exists."""

    @abstractmethod
    def list(self) -> Iterator[BlobEntry]:
        """Yield all blobs, ordered by hash.

        Blobs that are added or deleted during the iteration may be missing.
        """

    @abstractmethod
    def local_path(self, sha256: str) -> Path | None:
        """Return the path of a blob on this machine, for reading; None if it is stored elsewhere.

        Raises:
            BlobNotFoundError: there is no such blob.
        """

    @abstractmethod
    def delete_incomplete(self, older_than_seconds: float) -> int:
        """Delete temporary files that crashed writers left behind, and return their number.

        Files younger than ``older_than_seconds`` are kept, because they may still be in use.
        """


def open_store(url: str) -> BlobStore:
    """Return the store at ``file:///directory`` or ``s3://bucket/prefix``.

    Object stores are configured by the environment: ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_ENDPOINT_URL`` and all other variables that the
    AWS tools read.

    Raises:
        ValueError: the URL has neither form.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return LocalBlobStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        # Imported late, so that only installations with an object store load its client.
        from aiplatform.data.object_blobs import open_s3  # noqa: PLC0415

        return open_s3(parts.netloc, parts.path)
    raise ValueError(f"a blob store is file:///directory or s3://bucket/prefix, not {url!r}")


def blob_key(sha256: str) -> str:
    """Return the key of a blob in its store: ``ab/cd/<sha256>``.

    Raises:
        ValueError: ``sha256`` is not a SHA-256 in lower-case hexadecimal.
    """
    if SHA256.fullmatch(sha256) is None:
        raise ValueError(f"not a SHA-256: {sha256!r}")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def hash_file(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a file in hexadecimal, and its size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def sync_directory(path: Path) -> None:
    """Flush a directory to disk, so that the names in it survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LocalBlobStore(BlobStore):
    """A blob store in a directory, which several machines may share.

    Args:
        root: The directory; created if it does not exist.
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
        path.rename(target)  # If another writer was faster, this replaces identical content.
        sync_directory(target.parent)
        for folder in missing:
            sync_directory(folder.parent)

    def exists(self, sha256: str) -> bool:
        return self._path(sha256).exists()

    def size(self, sha256: str) -> int:
        return self._existing(sha256).stat().st_size

    def read(self, sha256: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        # Open the file before the generator starts: a missing blob is then reported before the
        # response has begun, and a blob that is deleted in the meantime can still be read to its
        # end.
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
            except OSError:  # Another file system, too many links, or links are not allowed.
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

    def delete_incomplete(self, older_than_seconds: float) -> int:
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

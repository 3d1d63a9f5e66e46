"""Validate and unpack code bundles: untrusted gzipped tar archives.

A bundle may contain only regular files and directories under relative paths: no links, no devices,
no absolute paths, no ``..``. Owners and modes in the archive are ignored, except for the executable
bit.
"""

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

MAX_FILES = 20_000
MAX_UNPACKED_BYTES = 1 << 30
MAX_PATH = 400
MAX_NAME_BYTES = 255
MAX_READ = 1 << 20
"""Largest number of bytes that one read of the archive may request.

Reading a valid bundle never requests more, but a decompression bomb's headers do.
"""


class BundleError(ValueError):
    """The archive is not a valid bundle; the message tells the sender why."""


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """The number of files in a bundle, and their unpacked size."""

    files: int
    unpacked_bytes: int


class _Bounded:
    """A gzip stream with limits on single reads and on its total length."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise BundleError("it has a header of an absurd size")
        return self._stream.read(size)

    def seek(self, offset: int) -> int:
        # The stream seeks forward by decompressing everything up to the offset.
        if offset > MAX_UNPACKED_BYTES + MAX_FILES * 2048:
            raise BundleError(f"it unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB")
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()


def inspect(path: Path) -> BundleFacts:
    """Check a whole bundle; return its number of files and unpacked size.

    Raises:
        BundleError: the archive is not a valid bundle.
    """
    files = size = 0
    for member, _ in _members(path):
        if member.isfile():
            files += 1
            size += member.size
    if not files:
        raise BundleError("it holds no file")
    return BundleFacts(files, size)


def unpack(path: Path, directory: Path) -> None:
    """Write a bundle's files below ``directory``, which must not exist yet.

    Raises:
        BundleError: the archive is not a valid bundle.
    """
    directory.mkdir(parents=True)
    for member, content in _members(path):
        target = directory / member.name
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        assert content is not None
        with target.open("xb") as output:
            shutil.copyfileobj(content, output)
        target.chmod(0o755 if member.mode & 0o100 else 0o644)


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yield the validated members of a bundle, each with its content."""
    count = size = 0
    files: set[str] = set()
    directories = {"."}
    with _opened(path) as archive:
        for member in archive:
            count += 1
            size += member.size
            if count > MAX_FILES:
                raise BundleError(f"it has more than {MAX_FILES} entries")
            if size > MAX_UNPACKED_BYTES:
                raise BundleError(f"it unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB")
            member.name = _plain(member.name)
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise BundleError(f"{member.name!r} is neither a regular file nor a directory")
            own = [member.name, *map(str, PurePosixPath(member.name).parents)]
            if (member.isreg() and member.name in directories) or not files.isdisjoint(own):
                raise BundleError(f"two entries claim the path {member.name!r}")
            directories.update(own if member.isdir() else own[1:])
            if member.isreg():
                files.add(member.name)
            yield member, archive.extractfile(member)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with gzip.open(path, "rb") as stream:
            bounded: Any = _Bounded(stream)
            with tarfile.open(fileobj=bounded, mode="r:") as archive:
                yield archive
    except BundleError:
        raise
    # With manipulated headers, such as those of sparse files, the library raises all of these.
    except (
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
        ValueError,
        LookupError,
        ArithmeticError,
        TypeError,
    ) as error:
        raise BundleError(f"it can't be read as a .tar.gz: {error}") from error


def _plain(name: str) -> str:
    """Return the path of a member, normalised, if it is allowed.

    Raises:
        BundleError: the path leads out of the bundle's directory, or is too long.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise BundleError(f"{name[:100]!r} leads out of it")
    if len(name) > MAX_PATH:
        raise BundleError(f"a path of it is longer than {MAX_PATH} characters: {name[:100]!r}…")
    # File systems count the bytes of each part.
    if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in path.parts):
        raise BundleError(f"a name in it is longer than {MAX_NAME_BYTES} bytes: {name[:100]!r}…")
    return str(path)

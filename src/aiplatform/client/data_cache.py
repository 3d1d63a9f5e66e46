"""A local cache of dataset versions, which are fetched in parts identified by their hashes.

If a similar version is in the cache, only the parts that differ are downloaded. After an
interrupted download, the parts already received are recognised by their hashes, so no download
state is stored.
"""

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import httpx
import platformdirs

from aiplatform.client.errors import CorruptDownload, unreachable
from aiplatform.client.locks import file_lock
from aiplatform.client.transfers import CHUNK_BYTES, ProgressCallback
from aiplatform.client.transport import Transport, back_off
from aiplatform.language import tr
from aiplatform.protocol.storage import VersionPart, VersionParts

_ATTEMPTS_WITHOUT_PROGRESS = 5
_LEFTOVER_SECONDS = 30 * 24 * 3600.0
_DEFAULT_GB = 50.0


def default_directory() -> Path:
    """Return ``AIPLATFORM_CACHE``, or else a directory in the user's cache directory."""
    override = os.environ.get("AIPLATFORM_CACHE")
    if override:
        return Path(override).expanduser()
    return platformdirs.user_cache_path("aiplatform", appauthor=False) / "datasets"


def default_limit() -> int:
    """Return the limit of the cache in bytes: ``AIPLATFORM_CACHE_GB`` times 10^9, or 50 GB."""
    return int(float(os.environ.get("AIPLATFORM_CACHE_GB") or _DEFAULT_GB) * 1e9)


@dataclass(frozen=True)
class Cached:
    """A complete, verified file in the cache; ``fetched`` is the number of downloaded bytes."""

    path: Path
    fetched: int


class DataCache:
    """A directory of complete files, named by their hashes; several programs may share it.

    Args:
        directory: created if missing; readable only by its owner.
        limit: the largest total size of the files in bytes. If it is exceeded, the least recently
            used files are removed.
    """

    def __init__(self, directory: Path | None = None, limit: int | None = None) -> None:
        self.directory = directory or default_directory()
        self.limit = default_limit() if limit is None else limit

    def get(
        self,
        http: Transport,
        content: str,
        wanted: VersionParts,
        progress: ProgressCallback | None = None,
    ) -> Cached:
        """Return the file of a version, downloading missing parts from the path ``content``.

        Raises:
            CorruptDownload: if the received bytes do not have the announced hash.
            ApiError: if the server rejects the request or can't be reached. The next call uses the
                parts already received.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self.directory / f"{wanted.file_hash}.parquet"
        with file_lock(target.with_suffix(".lock")):
            if self._is_good(target, wanted.file_hash):
                os.utime(target)
                if progress:
                    progress(wanted.file_size, wanted.file_size)
                return Cached(target, 0)
            fetched = self._make(http, content, wanted, target, progress)
        self._evict(target)
        return Cached(target, fetched)

    def _is_good(self, path: Path, sha256: str) -> bool:
        """Return True if the file exists and has this hash. Remove a file with a different hash."""
        try:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                    return True
        except FileNotFoundError:
            return False
        path.unlink(missing_ok=True)
        return False

    def _make(
        self,
        http: Transport,
        content: str,
        wanted: VersionParts,
        target: Path,
        progress: ProgressCallback | None,
    ) -> int:
        partial = target.with_suffix(".partial")
        was_begun = partial.exists()
        with partial.open("r+b" if was_begun else "x+b") as file:
            file.truncate(wanted.file_size)
            assembly = _Assembly(file, wanted, progress)
            if was_begun:
                assembly.find_existing_parts()
            assembly.copy_from(self._known_parts())
            assembly.fetch(http, content)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            if hashlib.file_digest(file, "sha256").hexdigest() != wanted.file_hash:
                raise CorruptDownload(
                    tr(
                        "the parts of {version} can't be combined into its file",
                        version=wanted.version,
                    )
                )
        partial.chmod(0o444)
        partial.replace(target)
        index = self.directory / f".{target.stem}.{secrets.token_hex(6)}"
        index.write_text(json.dumps([part.model_dump() for part in wanted.parts]))
        index.replace(target.with_suffix(".json"))
        return assembly.fetched

    def _known_parts(self) -> dict[str, tuple[Path, int]]:
        """Return the file and the offset in bytes of each part in the cache."""
        known: dict[str, tuple[Path, int]] = {}
        for index in self.directory.glob("*.json"):
            # The index may have been evicted, or come from another version of the program.
            with contextlib.suppress(OSError, ValueError):
                for part in map(VersionPart.model_validate, json.loads(index.read_bytes())):
                    known[part.sha256] = (index.with_suffix(".parquet"), part.start)
        return known

    def _evict(self, kept: Path) -> None:
        """Remove the least recently used files, except ``kept``, until the limit is met."""
        files = []
        for path in self.directory.glob("*.parquet"):
            with contextlib.suppress(FileNotFoundError):
                files.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.limit:
                break
            if path != kept:
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                total -= size
        for path in self.directory.glob("*.partial"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _LEFTOVER_SECONDS:
                    path.unlink()


class _Assembly:
    """A file being assembled from an earlier attempt's parts, other cached files, and downloads."""

    def __init__(
        self, file: BinaryIO, wanted: VersionParts, progress: ProgressCallback | None
    ) -> None:
        self.fetched = 0
        self._file = file
        self._wanted = wanted
        self._progress = progress
        self._missing = {part.start: part for part in wanted.parts}

    def find_existing_parts(self) -> None:
        """Keep the parts that an earlier attempt left in the file."""
        for part in list(self._missing.values()):
            if _hash_of(self._file, part.start, part.size) == part.sha256:
                self._mark_present(part)

    def copy_from(self, known: dict[str, tuple[Path, int]]) -> None:
        """Copy the parts that other files contain.

        ``known`` maps the SHA-256 of a part to a file and the part's offset in it. The part is
        copied only if its content there still has this hash.
        """
        for part in list(self._missing.values()):
            if part.sha256 not in known:
                continue
            path, start = known[part.sha256]
            try:
                with path.open("rb") as source:
                    if _hash_of(source, start, part.size) != part.sha256:
                        continue
                    self._file.seek(part.start)
                    for chunk in _chunks(source, start, part.size):
                        self._file.write(chunk)
            except FileNotFoundError:  # evicted in the meantime
                continue
            self._mark_present(part)

    def fetch(self, http: Transport, content: str) -> None:
        """Download the missing parts, with one request per gap; resume after connection errors."""
        failures = 0
        while self._missing:
            before = len(self._missing)
            run = self._gap()
            headers = {"Range": f"bytes={run[0].start}-{run[-1].start + run[-1].size - 1}"}
            params = {"format": "parquet"}
            try:
                with http.stream("GET", content, params=params, headers=headers) as response:
                    self._receive(response, run)
                failures = 0
            except httpx.TransportError as error:
                failures = 1 if len(self._missing) < before else failures + 1
                if failures >= _ATTEMPTS_WITHOUT_PROGRESS:
                    raise unreachable(http.url, error) from error
                time.sleep(back_off(failures - 1))

    def _gap(self) -> list[VersionPart]:
        """Return the first run of adjacent missing parts."""
        run: list[VersionPart] = []
        for part in self._wanted.parts:
            if part.start in self._missing:
                run.append(part)
            elif run:
                break
        return run

    def _receive(self, response: httpx.Response, run: Sequence[VersionPart]) -> None:
        # If a proxy removes the range from the request, the response is the whole file.
        at = run[0].start if response.status_code == HTTPStatus.PARTIAL_CONTENT else 0
        rest = iter(run)
        part = next(rest)
        digest = hashlib.sha256()
        self._file.seek(part.start)
        for chunk in response.iter_bytes():
            data = memoryview(chunk)[max(part.start - at, 0) :]
            at += len(chunk)
            while data:
                left = part.start + part.size - self._file.tell()
                piece, data = data[:left], data[left:]
                self._file.write(piece)
                digest.update(piece)
                self.fetched += len(piece)
                if len(piece) < left:
                    break
                if digest.hexdigest() != part.sha256:
                    raise CorruptDownload(
                        tr(
                            "{version}: the part that starts at byte {start} does not match "
                            "its hash",
                            version=self._wanted.version,
                            start=part.start,
                        )
                    )
                self._mark_present(part)
                following = next(rest, None)
                if following is None:
                    return
                part, digest = following, hashlib.sha256()
        raise httpx.RemoteProtocolError("the answer ended early")

    def _mark_present(self, part: VersionPart) -> None:
        del self._missing[part.start]
        if self._progress:
            left = sum(missing.size for missing in self._missing.values())
            self._progress(self._wanted.file_size - left, self._wanted.file_size)


def _chunks(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
        size -= len(chunk)
        yield chunk


def _hash_of(file: BinaryIO, start: int, size: int) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(file, start, size):
        digest.update(chunk)
    return digest.hexdigest()

"""Blob store in an object store: S3, or a service with the same protocol."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, S3Store

from aiplatform.data.blobs import (
    CHUNK_BYTES,
    SHA256,
    BlobDamagedError,
    BlobEntry,
    BlobNotFoundError,
    BlobStore,
    StoreUnavailableError,
    blob_key,
    hash_file,
)


def open_s3(bucket: str, prefix: str) -> "ObjectBlobStore":
    """Return the store in an S3 bucket, configured by the environment variables ``AWS_*``."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
    # Plain HTTP is allowed only if the administrator's endpoint says so.
    store = S3Store(bucket, client_options={"allow_http": endpoint.startswith("http://")})
    return ObjectBlobStore(store, prefix)


class ObjectBlobStore(BlobStore):
    """A blob store whose blobs are in an object store.

    Args:
        store: Any store from :mod:`obstore`.
        prefix: The prefix of the keys of all blobs.
    """

    def __init__(self, store: ObjectStore, prefix: str = "") -> None:
        self._store = store
        self._prefix = prefix.strip("/")

    def put_file(self, path: Path, sha256: str, *, move: bool = False) -> None:
        key = self._key(sha256)
        if not self.exists(sha256):
            # The bytes leave this machine, so their hash is checked even for a move.
            found, _ = hash_file(path)
            if found != sha256:
                raise BlobDamagedError(f"{path} has the hash {found}, not {sha256}")
            with _translate_errors():
                # Large files are sent in parts; the object becomes visible when it is complete.
                obstore.put(self._store, key, path)
        if move:
            path.unlink()

    def exists(self, sha256: str) -> bool:
        try:
            with _translate_errors():
                obstore.head(self._store, self._key(sha256))
        except FileNotFoundError:
            return False
        return True

    def size(self, sha256: str) -> int:
        try:
            with _translate_errors():
                return obstore.head(self._store, self._key(sha256))["size"]
        except FileNotFoundError:
            raise BlobNotFoundError(sha256) from None

    def read(self, sha256: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        size = self.size(sha256)
        end = size if length is None else min(size, offset + length)
        if offset >= end:  # Object stores refuse empty ranges.
            return iter(())
        try:
            with _translate_errors():
                key = self._key(sha256)
                found = obstore.get(self._store, key, options={"range": (offset, end)})
        except FileNotFoundError:
            raise BlobNotFoundError(sha256) from None
        return _cut(bytes(part) for part in found.stream(min_chunk_size=CHUNK_BYTES))

    def fetch(self, sha256: str, dest: Path) -> None:
        chunks = self.read(sha256)
        digest = hashlib.sha256()
        descriptor, name = tempfile.mkstemp(dir=dest.parent, prefix=f".{dest.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != sha256:
                raise BlobDamagedError(f"{sha256} arrived as {digest.hexdigest()}")
            temporary.chmod(0o444)
            temporary.rename(dest)
        finally:
            temporary.unlink(missing_ok=True)

    def delete(self, sha256: str) -> None:
        with contextlib.suppress(FileNotFoundError), _translate_errors():
            obstore.delete(self._store, self._key(sha256))

    def list(self) -> Iterator[BlobEntry]:
        entries = []
        with _translate_errors():
            for page in obstore.list(self._store, prefix=self._prefix or None):
                for found in page:
                    name = found["path"].rpartition("/")[2]
                    if SHA256.fullmatch(name):
                        modified = found["last_modified"].timestamp()
                        entries.append(BlobEntry(name, found["size"], modified))
        # The order of a listing depends on the store.
        yield from sorted(entries)

    def local_path(self, sha256: str) -> Path | None:
        if not self.exists(sha256):
            raise BlobNotFoundError(sha256)
        return None

    def delete_incomplete(self, older_than_seconds: float) -> int:  # noqa: ARG002
        return 0  # Lifecycle rules of the bucket remove incomplete uploads.

    def _key(self, sha256: str) -> str:
        key = blob_key(sha256)
        return f"{self._prefix}/{key}" if self._prefix else key


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    """Turn errors of the store's library into ``StoreUnavailableError``, an ``OSError``."""
    try:
        yield
    except BaseError as error:
        raise StoreUnavailableError(str(error).splitlines()[0][:300]) from error


def _cut(parts: Iterator[bytes]) -> Iterator[bytes]:
    with _translate_errors():
        for part in parts:
            for start in range(0, len(part), CHUNK_BYTES):
                yield part[start : start + CHUNK_BYTES]

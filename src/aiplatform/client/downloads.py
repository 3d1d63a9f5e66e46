"""Downloads that resume after connection errors, are verified, and appear only when complete."""

import base64
import hashlib
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from aiplatform.client.errors import CorruptDownload, unreachable
from aiplatform.client.transfers import AtomicFile, ProgressCallback
from aiplatform.client.transport import Transport, back_off
from aiplatform.language import tr

_ATTEMPTS_WITHOUT_PROGRESS = 5


def download(
    http: Transport,
    path: str,
    destination: Path,
    *,
    params: Mapping[str, Any] | None = None,
    sha256: str | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Download ``path`` to the file ``destination``.

    The content is verified by its SHA-256: ``sha256``, in hexadecimal, or the hash in the response
    (``Repr-Digest``, RFC 9530). After a connection error, the download resumes where it stopped if
    the server supports ranges, and otherwise starts again.

    Raises:
        CorruptDownload: if the hash differs; ``destination`` is not changed.
        ApiError: if the server rejects the request, or can't be reached.
    """
    with AtomicFile(destination) as file:
        state = _Received(file)
        failures = 0
        while True:
            before = state.size
            try:
                with http.stream("GET", path, params=params, headers=state.headers()) as response:
                    state.begin(response)
                    for chunk in response.iter_bytes():
                        state.add(chunk)
                        if progress:
                            progress(state.size, state.total)
                break
            except httpx.TransportError as error:
                failures = 1 if state.size > before else failures + 1
                if failures >= _ATTEMPTS_WITHOUT_PROGRESS:
                    raise unreachable(http.url, error) from error
                time.sleep(back_off(failures - 1))
        state.verify(destination.name, sha256)
        return file.commit()


class _Received:
    """The state of a download: the bytes that have arrived so far."""

    def __init__(self, file: AtomicFile) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._digest: str | None = None
        self._etag: str | None = None
        self.size = 0
        self.total: int | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that request the rest of the file, unless it has changed since."""
        if self.size and self._etag:
            return {"Range": f"bytes={self.size}-", "If-Range": self._etag}
        return {}

    def begin(self, response: httpx.Response) -> None:
        """Process the headers of a response, which contains the rest of the file or all of it."""
        content_range = response.headers.get("content-range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        is_rest = (
            response.status_code == HTTPStatus.PARTIAL_CONTENT
            and match is not None
            and int(match[1]) == self.size
        )
        if is_rest:
            return
        self._file.restart()
        self._hash = hashlib.sha256()
        self.size = 0
        length = response.headers.get("content-length", "")
        self.total = int(length) if length.isdigit() else None
        self._digest = _sha256_in(response.headers.get("repr-digest", ""))
        ranges = response.headers.get("accept-ranges", "") == "bytes"
        etag = response.headers.get("etag", "")
        # Only a strong ETag guarantees the same bytes.
        self._etag = etag if ranges and etag.startswith('"') else None

    def add(self, chunk: bytes) -> None:
        """Append ``chunk`` to the file."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def verify(self, name: str, sha256: str | None) -> None:
        """Compare the size and hash with the announced ones.

        Raises:
            CorruptDownload: if they differ.
        """
        if self.total is not None and self.size != self.total:
            raise CorruptDownload(
                tr(
                    "{name}: received {size} of {total} bytes",
                    name=name,
                    size=self.size,
                    total=self.total,
                )
            )
        expected = sha256 or self._digest
        if expected is not None and self._hash.hexdigest() != expected.lower():
            raise CorruptDownload(
                tr(
                    "{name} was received with the hash {found} instead of {expected}",
                    name=name,
                    found=self._hash.hexdigest(),
                    expected=expected,
                )
            )


def _sha256_in(header: str) -> str | None:
    """Return the hexadecimal SHA-256 in a ``Repr-Digest`` header, or None."""
    match = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", header)
    return base64.b64decode(match[1]).hex() if match else None

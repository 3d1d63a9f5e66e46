"""Downloads of user files as attachments, with ranges and a digest. Browsers never execute them."""

import base64
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from aiplatform.data.blobs import BlobNotFoundError
from aiplatform.server.core.description import header
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.files import read_file
from aiplatform.server.core.problems import render
from aiplatform.server.core.storage import StoredFile

UNTRUSTED = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, no-cache",
}
"""Headers that keep a browser from treating a user's file as a page of this site."""

HEADERS = ("ETag", "Content-Disposition", "Repr-Digest", "Accept-Ranges")
"""Headers of the responses that :func:`send_blob` returns."""

BYTES: dict[str, object] = {"application/octet-stream": {}}
RANGE = {"Content-Range": header("Content-Range")}
DOCUMENTATION: dict[int | str, dict[str, object]] = {
    200: {"description": "The file", "content": BYTES},
    206: {"description": "The requested range", "content": BYTES, "headers": RANGE},
    304: {"description": "Not changed: `If-None-Match` names this content"},
    416: {"description": "The range is outside of the file", "headers": RANGE},
    500: {"description": "The content is missing in the store"},
}


class RangeNotSatisfiable(Problem):
    """The requested range begins after the end of the file."""

    status = 416
    code = "request.range_not_satisfiable"


class ContentMissing(Problem):
    """A storage fault: a blob has a row but no content."""

    status = 500
    code = "server.content_missing"


CONTENT_STATUSES = frozenset({200, 206})
"""Status codes of responses that contain the file or a part of it."""


@dataclass(frozen=True, slots=True)
class Range:
    """A byte range from ``start`` up to but excluding ``stop``, in a file of ``size`` bytes."""

    start: int
    stop: int
    size: int

    @property
    def length(self) -> int:
        """The number of bytes in the range."""
        return self.stop - self.start


def requested_range(request: Request, size: int, etag: str) -> Range | None:
    """Return the range that a request asks for; None if it asks for the whole file.

    A request with multiple ranges, a malformed range or another unit is answered with the whole
    file, as RFC 9110 allows. So is a request whose ``If-Range`` names another version of the file.

    Raises:
        RangeNotSatisfiable: the range begins after the end of the file.
    """
    header = request.headers.get("range", "")
    match = re.fullmatch(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*", header)
    if match is None or (not match[1] and not match[2]):
        return None
    if request.headers.get("if-range", etag) != etag:
        return None
    if match[1]:
        start = int(match[1])
        stop = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, stop = max(size - int(match[2]), 0), size
    if start >= stop:
        raise RangeNotSatisfiable(size=size)
    return Range(start, stop, size)


def content_disposition(filename: str) -> str:
    """Return the header that names an attachment (RFC 6266) in ASCII, and in UTF-8 if needed."""
    plain = re.sub(r'[^ -~]|["\\%/]', "_", filename)
    header = f'attachment; filename="{plain}"'
    if plain != filename:
        header += f"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
    return header


def is_unchanged(request: Request, etag: str) -> bool:
    """Return True if the client already has this content (``If-None-Match``)."""
    parts = request.headers.get("if-none-match", "").split(",")
    known = {part.strip().removeprefix("W/") for part in parts}
    return etag in known or "*" in known


@contextmanager
def content_expected(file: StoredFile) -> Iterator[None]:
    """Raise :class:`ContentMissing` if the block can't find a blob's content in the store."""
    try:
        yield
    except BlobNotFoundError as error:
        raise ContentMissing(sha256=file.sha256) from error


def send_blob(request: Request, file: StoredFile, filename: str, media_type: str) -> Response:
    """Return a response that streams a blob, or the requested range of it."""
    etag = f'"{file.sha256}"'
    headers = {
        **UNTRUSTED,
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": content_disposition(filename),
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:",
    }
    if is_unchanged(request, etag):
        return Response(status_code=304, headers=headers)
    try:
        part = requested_range(request, file.size, etag)
    except RangeNotSatisfiable as problem:
        response = render(request, problem)
        response.headers["Content-Range"] = f"bytes */{file.size}"
        return response
    if part is None:
        part = Range(0, file.size, file.size)
        status = 200
    else:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{part.size}"
        status = 206
    headers["Content-Length"] = str(part.length)
    with content_expected(file):
        chunks = read_file(file, part.start, part.length)
    return StreamingResponse(chunks, status, headers, media_type)


def send_stream(
    request: Request,
    chunks: AsyncIterator[bytes],
    made_from: StoredFile,
    filename: str,
    media_type: str,
) -> Response:
    """Return a response of unknown length that streams content generated from a blob."""
    # The ETag is weak, because another version of the program may generate the same text with
    # different bytes.
    etag = f'W/"{made_from.sha256}"'
    disposition = content_disposition(filename)
    headers = {**UNTRUSTED, "ETag": etag, "Content-Disposition": disposition}
    if is_unchanged(request, etag.removeprefix("W/")):
        return Response(status_code=304, headers=headers)
    return StreamingResponse(chunks, headers=headers, media_type=media_type)

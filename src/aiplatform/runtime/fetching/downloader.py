"""Resumable HTTP downloads with bounded memory, from public addresses only."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from ipaddress import ip_network
from math import inf
from pathlib import Path
from urllib.parse import unquote

import httpx

from aiplatform.data.outgoing_http import (
    AnswerTooLarge,
    CheckedTransport,
    Origin,
    OutgoingRefused,
    port_of,
)
from aiplatform.runtime.channel import JobError, Reporter

CONNECT_SECONDS, READ_SECONDS = 20.0, 60.0
MAX_REDIRECTS = 5
"""Maximum number of redirects; each target is checked like an address given by a user."""

MAX_ATTEMPTS = 5
"""Number of consecutive failed attempts without progress after which a download is abandoned."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 30.0
RESERVED_DISK_BYTES = 256 << 20
"""Bytes of disk space that a download leaves free."""

MAX_LISTING_BYTES = 64 << 20
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        url: Address of the file.
        name: Name of the file; its suffix determines the format. If empty, the name that the server
            gives is used.
        headers: Headers sent only to the host of ``url``, not to hosts that it redirects to.
        size: Size in bytes, if the source lists it.
        sha256: Hash of the content, if the source lists it.
    """

    url: str
    name: str
    headers: dict[str, str] = field(default_factory=dict)
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file that has been fetched unchanged."""

    path: Path
    name: str
    sha256: str
    size: int


class Downloader:
    """A client that downloads files of any size using little memory.

    The worker sets ``AIPLATFORM_OUTGOING_NETWORKS`` (networks allowed in addition to public
    addresses) and ``AIPLATFORM_MAX_UPLOAD_BYTES`` (largest size of an import).

    Args:
        report: The reporter to which the progress is sent.
        trusted: Hosts configured by an administrator, which are allowed at any address.
    """

    def __init__(self, report: Reporter, trusted: frozenset[Origin] = frozenset()) -> None:
        self.report = report
        self.limit = int(os.environ.get("AIPLATFORM_MAX_UPLOAD_BYTES", str(1 << 40)))
        opened = os.environ.get("AIPLATFORM_OUTGOING_NETWORKS", "")
        networks = [ip_network(part) for part in opened.split(",") if part]
        self._client = httpx.Client(
            transport=CheckedTransport(
                timeout=inf,
                max_bytes=self.limit,
                networks=networks,
                trusted=trusted,
                accepts_compressed=True,
            ),
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            headers={"Accept-Encoding": "identity", "User-Agent": "AI-Platform"},
            trust_env=False,
        )

    def text(self, url: str, headers: dict[str, str]) -> str:
        """Return the body of a small response, such as a listing, as text.

        Raises:
            JobError: The response can't be fetched or is too large.
        """
        for attempt in range(MAX_ATTEMPTS):
            try:
                with self._get(url, headers) as answer:
                    self._raise_for_status(answer, url)
                    held = bytearray()
                    for chunk in answer.iter_raw():
                        held += chunk
                        if len(held) > MAX_LISTING_BYTES:
                            raise JobError(f"The answer of {without_query(url)} is too large.")
                    return held.decode("utf-8", "replace")
            except OutgoingRefused as error:
                raise JobError(str(error)) from error
            except (httpx.HTTPError, _TemporaryError) as error:
                if attempt == MAX_ATTEMPTS - 1:
                    raise _unreachable(url, error) from error
                self._wait(attempt)
        raise AssertionError

    def fetch(
        self, remote: RemoteFile, target: Path, *, before: int, total: int | None
    ) -> FetchedFile:
        """Download a file. After an interruption, resume the download if the server allows it.

        Args:
            remote: The file to download.
            target: Path of the new file.
            before: Number of bytes of this import that were downloaded before this file.
            total: Size of the whole import in bytes, or None if unknown.

        Raises:
            JobError: The file can't be fetched; retryable if a later attempt may succeed.
        """
        attempt = done = 0
        validator: str | None = None
        with target.open("xb", buffering=0) as file:
            while True:
                start = done
                try:
                    headers = dict(remote.headers)
                    if done:
                        headers["Range"] = f"bytes={done}-"
                        headers["If-Range"] = validator or ""
                    with self._get(remote.url, headers) as answer:
                        self._raise_for_status(answer, remote.url)
                        if answer.status_code != httpx.codes.PARTIAL_CONTENT or not done:
                            done = start = 0
                            file.seek(0)
                            file.truncate()
                        validator = _validator(answer)
                        length = self._announced_size(answer, done, before, target)
                        for chunk in answer.iter_raw():
                            _write(file.fileno(), chunk)
                            done += len(chunk)
                            self._report_progress(
                                before + done, total or (length and before + length)
                            )
                        if length is not None and done < length:
                            raise httpx.ReadError(f"{length - done} bytes are missing")
                        name = remote.name or _name_of(answer)
                    break
                except OutgoingRefused as error:
                    raise JobError(str(error)) from error
                except AnswerTooLarge as error:
                    raise _too_large(self.limit) from error
                except (httpx.HTTPError, _TemporaryError) as error:
                    attempt = 0 if done > start else attempt + 1
                    if attempt >= MAX_ATTEMPTS:
                        raise _unreachable(remote.url, error) from error
                    if validator is None and remote.sha256 is None:
                        # Start again, because otherwise a change to the file would not be
                        # noticed.
                        done = 0
                    self._wait(attempt)
            os.fsync(file.fileno())
        return _verified(remote, target, name, done)

    @contextmanager
    def _get(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Yield the response to a request, after following redirects."""
        here, sent = httpx.URL(url), headers
        for _ in range(MAX_REDIRECTS + 1):
            with self._client.stream("GET", here, headers=sent) as answer:
                if answer.status_code not in REDIRECTS:
                    yield answer
                    return
                there = here.join(answer.headers.get("location", ""))
            if here.scheme == "https" and there.scheme != "https":
                raise JobError(
                    f"{without_query(url)} leads from https to http, which is not followed."
                )
            if (there.scheme, there.host, port_of(there)) != (
                here.scheme, here.host, port_of(here),
            ):  # fmt: skip
                kept = {"range", "if-range"}
                sent = {name: value for name, value in sent.items() if name.lower() in kept}
            here = there
        raise JobError(f"{without_query(url)} redirects more than {MAX_REDIRECTS} times.")

    def _raise_for_status(self, answer: httpx.Response, url: str) -> None:
        code = answer.status_code
        if code in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
            return
        if code in TRANSIENT:
            raise _TemporaryError(f"it answers {code}")
        if code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _TemporaryError("the file has changed meanwhile")
        region = answer.headers.get("x-amz-bucket-region")
        if region and code in {301, 400}:
            raise JobError(
                f"The bucket of {without_query(url)} is in the region {region}; name it."
            )
        hint = {
            401: "it needs a token, or another one; name a secret",
            403: "access is denied; it may need a secret, or another one",
            404: "there is nothing at that address",
        }
        reason = hint.get(code, f"it answers {code}")
        raise JobError(f"{without_query(url)} can't be fetched: {reason}.")

    def _announced_size(
        self, answer: httpx.Response, done: int, before: int, target: Path
    ) -> int | None:
        """Return the announced total size of the file in bytes, or None if none is announced.

        Raises:
            JobError: The file is too large for the platform or for the disk.
        """
        if answer.status_code == httpx.codes.PARTIAL_CONTENT:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("content-range", ""))
            if span is None or int(span[1]) != done:
                raise _TemporaryError("it sends another part than was asked for")
            length = int(span[2])
        elif (announced := answer.headers.get("content-length", "")).isdigit():
            length = int(announced)
        else:
            return None
        if before + length > self.limit:
            raise _too_large(self.limit)
        free = shutil.disk_usage(target.parent).free
        if length - done > free - RESERVED_DISK_BYTES:
            raise JobError(
                f"The file has {length / 1e9:.1f} GB, "
                f"and the worker's disk has {free / 1e9:.1f} GB left."
            )
        return length

    def _report_progress(self, done: int, total: int | None) -> None:
        if done > self.limit:
            raise _too_large(self.limit)
        self.report.progress(0.7 * min(done / total, 1.0) if total else 0.0)

    def _wait(self, attempt: int) -> None:
        """Wait before the next attempt, longer each time.

        A stop request ends the wait immediately with an exception.
        """
        end = time.monotonic() + min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS)
        while (left := end - time.monotonic()) > 0:
            self.report.stop.raise_if_requested()
            time.sleep(min(left, 0.2))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class _TemporaryError(Exception):
    """A failure that might not recur in another attempt."""


def without_query(url: str) -> str:
    """Return a URL for display, without its query, which may contain credentials."""
    return url.partition("?")[0][:300]


def _validator(answer: httpx.Response) -> str | None:
    """Return the value for ``If-Range``: the strong ETag or the time of the last modification."""
    tag: str = answer.headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return tag
    changed: str | None = answer.headers.get("last-modified")
    return changed


def _name_of(answer: httpx.Response) -> str:
    """Return the file's name from ``Content-Disposition``, or else from the URL."""
    message = Message()
    message["content-disposition"] = answer.headers.get("content-disposition", "")
    named = message.get_filename()
    return named or unquote(answer.url.path.rpartition("/")[2]) or "download"


def _write(descriptor: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _verified(remote: RemoteFile, target: Path, name: str, size: int) -> FetchedFile:
    with target.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if remote.size is not None and size != remote.size:
        raise JobError(f"{remote.name} did not arrive complete.", retryable=True)
    if remote.sha256 is not None and digest != remote.sha256:
        raise JobError(f"{remote.name} is not the file that the hub lists.", retryable=True)
    return FetchedFile(target, name, digest, size)


def _too_large(limit: int) -> JobError:
    return JobError(f"The import is larger than {limit} bytes, the limit of this platform.")


def _unreachable(url: str, error: Exception) -> JobError:
    cause = str(error) or type(error).__name__
    return JobError(f"{without_query(url)} can't be fetched: {cause}.", retryable=True)

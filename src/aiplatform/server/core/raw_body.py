"""Helpers for routes whose request body is one raw file."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import (
    Spooled,
    UploadAborted,
    announced_digest,
    check_headers,
    declared_size,
    receive,
    upload_prefix,
)

T = TypeVar("T")


def describe_body(what: str) -> dict[str, Any]:
    """Return the OpenAPI description of the request body."""
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": True, "description": what, "content": content}}


def describe_errors(what: str, **more: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI descriptions of an upload's errors.

    ``what`` names the file. ``more`` contains further errors by status, such as ``s409="Taken"``.
    """
    descriptions = {
        400: "Damaged in transit: the digest differs",
        413: f"The {what} is too large",
        415: f"A form instead of the bytes of the {what}",
        507: "No disk space left",
    } | {int(status.removeprefix("s")): text for status, text in more.items()}
    return {
        status: {"model": ProblemDocument, "description": text}
        for status, text in sorted(descriptions.items())
    }


async def _expected(
    content_digest: Annotated[
        str | None, Header(description="`sha-256=:BASE64:`; refused when it differs")
    ] = None,
    x_content_sha256: Annotated[
        str | None, Header(description="SHA-256 in hexadecimal; refused when it differs")
    ] = None,
) -> str | None:
    return announced_digest(content_digest, x_content_sha256)


ExpectedDigest = Annotated[str | None, Depends(_expected)]
"""Dependency that returns the SHA-256 announced by the client, in hexadecimal, or None.

In the endpoint, declare it after the guard, so that permissions are checked first.
"""


async def receive_body(
    request: Request,
    expected: str | None,
    *,
    limit: int,
    check_in_advance: Callable[[int], None],
    keep: Callable[[Spooled], T],
) -> T:
    """Receive the body into the spool and return the result of ``keep``.

    ``check_in_advance`` is called with the declared size in bytes before the body is read, and may
    refuse it. ``keep`` is called with the received file. Both run in threads with their own
    transactions.

    Raises:
        RawBodyRequired: the body is a form.
        DigestMismatch: the content does not have the ``expected`` SHA-256.
        UploadAborted: the client disconnected.
        TooLarge: the body has more than ``limit`` bytes.
        InsufficientStorage: the disk is full.
    """
    headers = request.headers
    check_headers(headers.get("content-type"), headers.get("content-length"), limit)
    await run_in_threadpool(check_in_advance, declared_size(headers.get("content-length")))
    async with upload_prefix(get_settings().spool_dir) as prefix:
        place = prefix.with_suffix(".upload")
        try:
            spooled = await receive(request.stream(), place, limit=limit, expected=expected)
        except ClientDisconnect as error:
            raise UploadAborted from error
        return await run_in_threadpool(keep, spooled)

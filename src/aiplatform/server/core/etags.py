"""ETag and If-Match headers, which keep concurrent edits from overwriting each other."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Header, Response

from aiplatform.server.core.errors import PreconditionFailed, PreconditionRequired

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="ETag of the version that is changed")
]


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def etag(changed_at: datetime | None) -> str:
    """Return a strong ETag from the time of the last change, in microseconds.

    Rows written by other programs may have no such time until their next change.
    """
    return f'"{((changed_at or EPOCH) - EPOCH) // timedelta(microseconds=1):x}"'


def set_etag(response: Response, changed_at: datetime | None) -> None:
    """Set the ETag header of the response."""
    response.headers["ETag"] = etag(changed_at)


def require_match(if_match: str | None, changed_at: datetime | None, resource: str) -> None:
    """Refuse an update that does not name the version it changes. ``*`` matches any version.

    Raises:
        PreconditionRequired: the header is missing.
        PreconditionFailed: the resource has another version.
    """
    require_tag(if_match, etag(changed_at), resource)


def require_tag(if_match: str | None, tag: str, resource: str) -> None:
    """Refuse an update unless ``If-Match`` names ``tag``; for resources without a change time.

    Raises:
        PreconditionRequired: the header is missing.
        PreconditionFailed: the resource has another version.
    """
    if if_match is None:
        raise PreconditionRequired
    candidates = {part.strip() for part in if_match.split(",")}
    if "*" not in candidates and tag not in candidates:
        raise PreconditionFailed(resource=resource)


def set_purge_after(response: Response, purge_after: datetime) -> None:
    """Set the header with the time until which the deleted resource can be restored."""
    response.headers["Purge-After"] = purge_after.astimezone(UTC).isoformat()

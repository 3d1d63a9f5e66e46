"""ETag and If-Match, so that two people who edit the same thing do not overwrite each other."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Header, Response

from aiplatform.server.core.errors import PreconditionFailed, PreconditionRequired

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="ETag of the version that is changed")
]


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def etag(changed_at: datetime | None) -> str:
    """A strong ETag from the time of the last change, exact to the microsecond.

    Rows that other programs wrote may have no such time; any change then gives them one.
    """
    return f'"{((changed_at or EPOCH) - EPOCH) // timedelta(microseconds=1):x}"'


def set_etag(response: Response, changed_at: datetime | None) -> None:
    """Send the ETag with the answer."""
    response.headers["ETag"] = etag(changed_at)


def require_match(if_match: str | None, changed_at: datetime | None, resource: str) -> None:
    """Refuse an update that does not name the version it changes. ``*`` names any.

    Raises:
        PreconditionRequired: without the header.
        PreconditionFailed: when the resource has another version.
    """
    require_tag(if_match, etag(changed_at), resource)


def require_tag(if_match: str | None, tag: str, resource: str) -> None:
    """The same for a resource whose version is not told by a time.

    Raises:
        PreconditionRequired, PreconditionFailed: as above.
    """
    if if_match is None:
        raise PreconditionRequired
    candidates = {part.strip() for part in if_match.split(",")}
    if "*" not in candidates and tag not in candidates:
        raise PreconditionFailed(resource=resource)


def set_purge_after(response: Response, purge_after: datetime) -> None:
    """Say until when what was deleted can be restored."""
    response.headers["Purge-After"] = purge_after.astimezone(UTC).isoformat()

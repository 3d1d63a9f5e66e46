"""Routes for API keys: the caller's own and, for administrators, those of other users."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response, status

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.identity import KeyOut, NewKeyOut, UserRef
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import PlatformGuard, Principal, SessionDep, SignedIn
from aiplatform.server.identity.models import ApiKey, User
from aiplatform.server.identity.queries import find_user
from aiplatform.server.identity.service import lock_manageable_user
from aiplatform.server.projects import queries, service
from aiplatform.server.projects.queries import KeyRow
from aiplatform.server.projects.schemas import KeyIn

router = APIRouter(prefix="/api/v1/users", tags=["identity"])

TAKEN: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "Name in use"}
}
UsersRead = Annotated[Principal, Depends(PlatformGuard(Permission.USERS_READ))]
UsersWrite = Annotated[Principal, Depends(PlatformGuard(Permission.USERS_WRITE))]
KeyPath = Annotated[UUID, Path(description="uuid of the key")]
UserName = Annotated[str, Path(max_length=50, description="uuid or user name")]
Revoked = Annotated[bool, Query(description="those that were revoked too")]


def _fields(row: KeyRow) -> dict[str, Any]:
    key = row.key
    return {
        "uuid": key.uuid,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "project": row.project,
        "user": UserRef.model_validate(row.owner),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def _render(row: Any) -> KeyOut:
    return KeyOut(**_fields(KeyRow(*row)))


@router.get("/me/keys", summary="List your API keys")
def list_my_keys(
    principal: SignedIn,
    session: SessionDep,
    revoked: Revoked = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KeyOut]:
    """List your keys, newest first. Their secret values are not stored, so they can't be shown."""
    me = session.get_one(User, principal.user_id)
    rows, following = page_by_id(
        session, queries.list_keys(me, revoked=revoked), ApiKey.id, limit=limit, cursor=cursor
    )
    return render_page(rows, following, _render)


@router.post(
    "/me/keys",
    summary="Create an API key",
    status_code=status.HTTP_201_CREATED,
    responses=TAKEN,
)
def create_my_key(
    body: KeyIn, principal: SignedIn, session: SessionDep, response: Response
) -> NewKeyOut:
    """Create a key for a program.

    The key always has your current permissions, limited to its scopes.

    The response contains the key itself, which is shown only once. A key can't create keys.
    """
    row, shown = service.create_key(session, principal, **body.model_dump())
    response.headers["Cache-Control"] = "no-store"
    return NewKeyOut(**_fields(row), key=shown)


@router.delete(
    "/me/keys/{key}", summary="Revoke an API key", status_code=status.HTTP_204_NO_CONTENT
)
def revoke_my_key(key: KeyPath, principal: SignedIn, session: SessionDep) -> None:
    """Revoke one of your keys.

    Requests with the key are refused immediately, and streams end within a second.
    """
    service.revoke_key(session, principal, session.get_one(User, principal.user_id), key)


@router.get("/{user}/keys", summary="List a user's API keys")
def list_keys_of(
    user: UserName,
    _: UsersRead,
    session: SessionDep,
    revoked: Revoked = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KeyOut]:
    """List a user's keys, newest first."""
    owner = find_user(session, user)
    rows, following = page_by_id(
        session, queries.list_keys(owner, revoked=revoked), ApiKey.id, limit=limit, cursor=cursor
    )
    return render_page(rows, following, _render)


@router.delete(
    "/{user}/keys/{key}",
    summary="Revoke a user's API key",
    status_code=status.HTTP_204_NO_CONTENT,
)
def revoke_key_of(user: UserName, key: KeyPath, principal: UsersWrite, session: SessionDep) -> None:
    """Revoke a user's key. Requests with it are refused immediately, and the user is notified."""
    service.revoke_key(session, principal, lock_manageable_user(session, principal, user), key)

"""Routes for administrators to manage accounts."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.identity import LinkOut, UserDetails, UserOut
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import IfMatch, set_etag
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity import queries, service
from aiplatform.server.identity.access import PlatformGuard, Principal, SessionDep
from aiplatform.server.identity.endpoints.sign_in import TAKEN
from aiplatform.server.identity.models import User
from aiplatform.server.identity.schemas import EndedOut, UserChanges, UserIn, render_user
from aiplatform.server.identity.service import second_factor

router = APIRouter(prefix="/api/v1/users", tags=["identity"])
LAST: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "The last administrator"}
}
CHANGE: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "In use, or the last administrator"},
    412: {"model": ProblemDocument, "description": "Changed meanwhile"},
    428: {"model": ProblemDocument, "description": "If-Match required"},
}
OWNER: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "Owns projects, or the last administrator"}
}

NameOrUuid = Annotated[str, Path(max_length=100, description="user name or uuid")]
UsersRead = Annotated[Principal, Depends(PlatformGuard(Permission.USERS_READ))]
UsersWrite = Annotated[Principal, Depends(PlatformGuard(Permission.USERS_WRITE))]
# Only signed-in users may change how an account signs in: an API key that could do so would give
# access to any account.
SignInsWrite = Annotated[
    Principal, Depends(PlatformGuard(Permission.USERS_WRITE, accepts_keys=False))
]


def _details(session: Session, user: User, response: Response) -> UserDetails:
    set_etag(response, user.updated_at)
    return UserDetails(
        **render_user(user).model_dump(),
        must_change_password=queries.must_change_password(session, user.id),
        totp_enabled=second_factor.state_of(session, user.id).enabled,
    )


@router.get("", summary="List accounts")
def list_users(
    _: UsersRead,
    session: SessionDep,
    q: Annotated[
        str | None, Query(max_length=100, description="part of the user name or address")
    ] = None,
    role: Annotated[str | None, Query(max_length=50, description="global role")] = None,
    active: bool | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[UserOut]:
    """List accounts, newest first."""
    statement = queries.list_users(search=q, role=role, active=active)
    rows, following = page_by_id(session, statement, User.id, limit=limit, cursor=cursor)
    return render_page(rows, following, render_user)


@router.post("", summary="Create an account", status_code=status.HTTP_201_CREATED, responses=TAKEN)
def create_user(body: UserIn, principal: UsersWrite, session: SessionDep) -> UserOut:
    """Create an account. Nobody can assign a role with permissions that they lack themselves."""
    user = service.create_user(
        session,
        principal,
        username=body.username,
        email=body.email,
        password=body.password,
        role=body.role,
        must_change_password=body.must_change_password,
    )
    return render_user(user)


@router.get("/{user}", summary="Read an account")
@sends_headers("ETag")
def read_user(
    user: NameOrUuid, _: UsersRead, session: SessionDep, response: Response
) -> UserDetails:
    """Return an account by uuid or user name."""
    return _details(session, queries.find_user(session, user), response)


@router.patch("/{user}", summary="Change an account", responses=CHANGE)
@sends_headers("ETag")
def update_user(
    user: NameOrUuid,
    body: UserChanges,
    principal: UsersWrite,
    session: SessionDep,
    response: Response,
    if_match: IfMatch = None,
) -> UserDetails:
    """Change the user name, e-mail address or global role.

    Nobody can change their own role, assign a role with permissions that they lack, or change an
    account that holds permissions that they lack. API keys can't change an address, because
    password reset links are sent there.
    """
    changes = body.model_dump(exclude_unset=True, exclude_none=True)
    found = service.update_user(session, principal, user, changes, if_match)
    session.refresh(found)
    return _details(session, found, response)


@router.post("/{user}/deactivate", summary="Deactivate an account", responses=LAST)
@sends_headers("ETag")
def deactivate_user(
    user: NameOrUuid, principal: UsersWrite, session: SessionDep, response: Response
) -> UserDetails:
    """Deactivate an account. Requests are refused immediately; streams end within a second."""
    found = service.set_active(session, principal, user, active=False)
    session.refresh(found)
    return _details(session, found, response)


@router.post("/{user}/activate", summary="Reactivate an account")
@sends_headers("ETag")
def activate_user(
    user: NameOrUuid, principal: UsersWrite, session: SessionDep, response: Response
) -> UserDetails:
    """Let an account sign in again. Its previous sessions remain ended."""
    found = service.set_active(session, principal, user, active=True)
    session.refresh(found)
    return _details(session, found, response)


@router.delete(
    "/{user}",
    summary="Delete an account",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=OWNER,
)
def delete_user(
    user: NameOrUuid,
    principal: UsersWrite,
    session: SessionDep,
    transfer_to: Annotated[
        str | None, Query(max_length=100, description="who gets its projects; name or uuid")
    ] = None,
) -> None:
    """Delete an account permanently. Everything it created remains, without an author.

    An account that owns projects is not deleted; the response lists them. With `transfer_to`, they
    get a new owner: a member of each of these projects, or anyone if administrators may add members
    directly.
    """
    service.delete_user(session, principal, user, transfer_to=transfer_to)


@router.post(
    "/{user}/password-reset",
    summary="Issue a link that resets the password",
    status_code=status.HTTP_201_CREATED,
)
def issue_password_reset(
    user: NameOrUuid, principal: SignInsWrite, session: SessionDep, response: Response
) -> LinkOut:
    """Create a single-use password reset link. It is shown only once; deliver it yourself."""
    found = service.lock_manageable_user(session, principal, user, own=False)
    link = service.issue_reset(session, principal, get_settings(), found)
    response.headers["Cache-Control"] = "no-store"
    return LinkOut.model_validate(link)


@router.delete("/{user}/sessions", summary="End an account's sessions")
def end_user_sessions(user: NameOrUuid, principal: UsersWrite, session: SessionDep) -> EndedOut:
    """End all sessions of an account. The account can sign in again."""
    return EndedOut(ended=service.end_all_sessions(session, principal, user))


@router.delete(
    "/{user}/totp",
    summary="Remove an account's second factor",
    status_code=status.HTTP_204_NO_CONTENT,
)
def reset_user_totp(user: NameOrUuid, principal: SignInsWrite, session: SessionDep) -> None:
    """Remove the second factor of a user who lost both the app and the recovery codes."""
    service.reset_second_factor(session, principal, user)

"""Signing in and accounts."""

from typing import Annotated, Any, NoReturn

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.security import OAuth2PasswordRequestForm
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.database import commit
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id, render_page
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity import queries, service
from aiplatform.server.identity.access import (
    FirstPassword,
    PlatformGuard,
    Principal,
    Public,
    SessionDep,
    actor_of,
)
from aiplatform.server.identity.models import User
from aiplatform.server.identity.schemas import (
    MeOut,
    PasswordIn,
    RefreshIn,
    TokenOut,
    UserIn,
    UserOut,
)

router = APIRouter(prefix="/api/v1", tags=["identity"])
TOO_MANY: dict[int | str, dict[str, Any]] = {
    429: {"model": ProblemDocument, "description": "Too many wrong passwords"}
}
TAKEN: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "User name or address in use"}
}

UsersRead = Annotated[Principal, Depends(PlatformGuard(Permission.USERS_READ))]
UsersWrite = Annotated[Principal, Depends(PlatformGuard(Permission.USERS_WRITE))]


def _refuse(session: Session, refusal: Problem) -> NoReturn:
    """Commit what the refusal put on record, before the error rolls the rest back."""
    commit(session)
    raise refusal


def _tokens(session: Session, outcome: service.SignedIn | Problem, response: Response) -> TokenOut:
    if isinstance(outcome, Problem):
        _refuse(session, outcome)
    response.headers["Cache-Control"] = "no-store"
    return TokenOut(
        access_token=outcome.access_token,
        refresh_token=outcome.refresh_token,
        expires_in=outcome.expires_in,
        must_change_password=outcome.must_change_password,
    )


@router.post("/auth/token", summary="Sign in", responses=TOO_MANY)
def sign_in(
    request: Request,
    response: Response,
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    session: SessionDep,
    _: Public,
) -> TokenOut:
    """OAuth2's password form: `username`, `password`, and `grant_type=password`."""
    outcome = service.sign_in(
        session, get_settings(), form.username, form.password, actor_of(request)
    )
    return _tokens(session, outcome, response)


@router.post("/auth/refresh", summary="Renew the tokens")
def refresh(
    request: Request, response: Response, body: RefreshIn, session: SessionDep, _: Public
) -> TokenOut:
    """A fresh pair for a refresh token, which is used up. Using one twice ends the session."""
    outcome = service.refresh(session, get_settings(), body.refresh_token, actor_of(request))
    return _tokens(session, outcome, response)


@router.post("/auth/logout", summary="Sign out", status_code=status.HTTP_204_NO_CONTENT)
def logout(principal: FirstPassword, session: SessionDep) -> None:
    """End this session: its access and refresh tokens are dead at once."""
    service.sign_out(session, principal)


@router.get("/users/me", summary="Read your account")
def read_me(principal: FirstPassword, session: SessionDep) -> MeOut:
    """The account that the token belongs to."""
    user = session.get_one(User, principal.user_id)
    return MeOut(
        **UserOut.model_validate(user).model_dump(),
        permissions=sorted(principal.permissions),
        must_change_password=principal.must_change_password,
    )


@router.put(
    "/users/me/password",
    summary="Change your password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=TOO_MANY,
)
def change_password(body: PasswordIn, principal: FirstPassword, session: SessionDep) -> None:
    """Replace the password. Your other sessions end; this one goes on."""
    refusal = service.change_password(
        session, principal, current=body.current_password, new=body.new_password
    )
    if refusal is not None:
        _refuse(session, refusal)


@router.get("/users", summary="List accounts")
def list_users(
    _: UsersRead, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[UserOut]:
    """All accounts, newest first."""
    rows, following = page_by_id(session, queries.list_users(), User.id, limit=limit, cursor=cursor)
    return render_page(rows, following, UserOut.model_validate)


@router.post(
    "/users", summary="Create an account", status_code=status.HTTP_201_CREATED, responses=TAKEN
)
def create_user(body: UserIn, principal: UsersWrite, session: SessionDep) -> UserOut:
    """Make an account. Nobody can give a role that grants what they lack themselves."""
    user = service.create_user(
        session,
        principal,
        username=body.username,
        email=body.email,
        password=body.password,
        role=body.role,
        must_change_password=body.must_change_password,
    )
    return UserOut.model_validate(user)

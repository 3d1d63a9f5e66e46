"""Routes for sign-in, renewal of tokens, sign-out, password resets and registration."""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, BackgroundTasks, Depends, Form, Request, Response, status
from fastapi.security import OAuth2PasswordRequestForm
from sqlalchemy.orm import Session

from aiplatform.protocol.shapes.identity import UserOut
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.errors import Language, Problem
from aiplatform.server.core.problems import ProblemDocument, language_of
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity import service
from aiplatform.server.identity.access import FirstPassword, Public, SessionDep, actor_of
from aiplatform.server.identity.schemas import (
    AcceptIn,
    ForgotIn,
    RefreshIn,
    RegisterIn,
    ResetIn,
    TokenOut,
    render_user,
)

T = TypeVar("T")
router = APIRouter(
    prefix="/api/v1/auth",
    tags=["identity"],
    generate_unique_id_function=lambda route: route.name,  # also names the form's schema
)
TOO_MANY: dict[int | str, dict[str, Any]] = {
    429: {"model": ProblemDocument, "description": "Too many wrong passwords"}
}
TAKEN: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "User name or address in use"}
}


def raise_if_refused(session: Session, outcome: T | Problem) -> T:
    """Return the outcome; if it is a refusal, commit its audit entry and raise it."""
    if isinstance(outcome, Problem):
        commit(session)  # the error raised next would roll back the record of the failure
        raise outcome
    return outcome


def render_tokens(signed_in: service.SignedIn, response: Response) -> TokenOut:
    """Return the response body for new tokens, and forbid caching of the response."""
    response.headers["Cache-Control"] = "no-store"
    return TokenOut(
        access_token=signed_in.access_token,
        refresh_token=signed_in.refresh_token,
        expires_in=signed_in.expires_in,
        must_change_password=signed_in.must_change_password,
    )


@router.post("/token", summary="Sign in", responses=TOO_MANY)
def sign_in(
    request: Request,
    response: Response,
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    session: SessionDep,
    _: Public,
    totp: Annotated[str | None, Form(max_length=64, description="see `auth.totp_required`")] = None,
) -> TokenOut:
    """Sign in with OAuth2's password form: `username`, `password`, and `grant_type=password`.

    For an account with a second factor, the response is 401 `auth.totp_required`. Send the form
    again with `totp`: a code from the authenticator app, or a recovery code.
    """
    outcome = service.sign_in(
        session, get_settings(), form.username, form.password, actor_of(request), totp=totp
    )
    return render_tokens(raise_if_refused(session, outcome), response)


@router.post("/refresh", summary="Renew the tokens")
def refresh(
    request: Request, response: Response, body: RefreshIn, session: SessionDep, _: Public
) -> TokenOut:
    """Exchange a refresh token for a new pair of tokens.

    This invalidates the refresh token. Using it a second time ends the session.
    """
    outcome = service.refresh(session, get_settings(), body.refresh_token, actor_of(request))
    return render_tokens(raise_if_refused(session, outcome), response)


@router.post("/logout", summary="Sign out", status_code=status.HTTP_204_NO_CONTENT)
def logout(principal: FirstPassword, session: SessionDep) -> None:
    """End this session. Its access and refresh tokens stop working immediately."""
    service.sign_out(session, principal)


@router.post("/forgot-password", summary="Ask for a link", status_code=status.HTTP_202_ACCEPTED)
def forgot_password(
    request: Request, background: BackgroundTasks, body: ForgotIn, _: Public
) -> None:
    """Send a link that sets a new password, if there is an account with this address.

    The response is always the same and is sent before the account is looked up. Nothing is sent if
    e-mail is not configured; an administrator can then issue a link.
    """
    background.add_task(_send_reset, body.email, actor_of(request), language_of(request))


def _send_reset(email: str, origin: Actor, language: Language) -> None:
    with transaction() as session:
        service.request_reset(session, get_settings(), email, origin, language)


@router.post(
    "/reset-password", summary="Set a new password", status_code=status.HTTP_204_NO_CONTENT
)
def reset_password(request: Request, body: ResetIn, session: SessionDep, _: Public) -> None:
    """Set a new password with the token from a link. All of the account's sessions end."""
    service.reset_password(session, body.token, body.new_password, actor_of(request))


@router.post(
    "/register",
    summary="Make an account for yourself",
    status_code=status.HTTP_201_CREATED,
    responses=TAKEN,
)
def register(request: Request, body: RegisterIn, session: SessionDep, _: Public) -> UserOut:
    """Create an account for yourself, if the setting `SELF_REGISTRATION` is on."""
    user = service.register(
        session,
        get_settings(),
        username=body.username,
        email=body.email,
        password=body.password,
        origin=actor_of(request),
    )
    return render_user(user)


@router.post(
    "/accept-invitation",
    summary="Accept an invitation",
    status_code=status.HTTP_201_CREATED,
    responses=TAKEN,
)
def accept_invitation(request: Request, body: AcceptIn, session: SessionDep, _: Public) -> UserOut:
    """Create the account for an invitation. The link can be used once."""
    user = service.accept(
        session,
        body.token,
        username=body.username,
        password=body.password,
        origin=actor_of(request),
    )
    return render_user(user)

"""Routes for the browser's session: sign in and out, renew it, and set preferences."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status
from sqlalchemy.orm import Session

from aiplatform.server.core import session_cookie
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.session_cookie import CookieTokens
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity import service
from aiplatform.server.identity.access import (
    FirstPassword,
    Principal,
    Public,
    SessionDep,
    actor_of,
)
from aiplatform.server.identity.endpoints.account import render_account
from aiplatform.server.identity.endpoints.sign_in import TOO_MANY, raise_if_refused
from aiplatform.server.identity.endpoints.sso import REFUSED, exchange_code
from aiplatform.server.identity.schemas import SsoCodeIn
from aiplatform.server.ui.access import BrowserGuard
from aiplatform.server.ui.schemas import (
    BrowserSessionOut,
    BrowserSignInIn,
    DisplayPreferencesIn,
    DisplayPreferencesOut,
)

router = APIRouter(prefix="/api/v1/browser-session", tags=["web interface"])
GUARD = BrowserGuard()
Browser = Annotated[Principal, Depends(GUARD)]


def _set_cookie(response: Response, request: Request, tokens: CookieTokens) -> None:
    tokens.set_on(response, request, timedelta(days=get_settings().refresh_token_days))


def _start(
    session: Session, request: Request, response: Response, signed_in: service.SignedIn
) -> BrowserSessionOut:
    """Set the cookie of a new session and return the response of :func:`read_browser_session`."""
    tokens = CookieTokens(signed_in.access_token, signed_in.refresh_token)
    _set_cookie(response, request, tokens)
    return _render(session, GUARD.authorize(request, session, tokens.access))


def _render(session: Session, principal: Principal) -> BrowserSessionOut:
    times = service.session_times(session, get_settings(), principal.session_id)
    preferences = service.read_preferences(session, principal.user_id)
    return BrowserSessionOut(
        user=render_account(session, principal),
        preferences=DisplayPreferencesOut.model_validate(preferences),
        expires_at=times.expires_at,
        renew_in=int(times.renew_in.total_seconds()),
    )


@router.post("", summary="Sign a browser in", responses=TOO_MANY)
@sends_headers("Set-Cookie")
def begin_browser_session(
    request: Request, response: Response, body: BrowserSignInIn, session: SessionDep, _: Public
) -> BrowserSessionOut:
    """Sign in with user name and password. The response sets a cookie that scripts can't read.

    For an account with a second factor, the response is 401 `auth.totp_required`. Send the request
    again with `code`: a code from the authenticator app, or a recovery code.

    The cookie authenticates requests from this server's pages. Requests that change something must
    also have the header `X-AIPlatform-UI: 1`.
    """
    outcome = service.sign_in(
        session,
        get_settings(),
        body.username,
        body.password,
        actor_of(request),
        totp=body.code,
    )
    return _start(session, request, response, raise_if_refused(session, outcome))


@router.post("/sso", summary="Sign a browser in by single sign-on", responses=REFUSED)
@sends_headers("Set-Cookie")
def begin_browser_session_by_sso(
    request: Request, response: Response, body: SsoCodeIn, session: SessionDep, _: Public
) -> BrowserSessionOut:
    """Exchange a single sign-on code for a session. The response sets the session cookie.

    A code can be exchanged once, within a minute.
    """
    return _start(session, request, response, exchange_code(session, request, body))


@router.get("", summary="Read the browser's session")
@sends_headers(sometimes=["Set-Cookie"])
def read_browser_session(
    request: Request, response: Response, principal: Browser, session: SessionDep
) -> BrowserSessionOut:
    """Return the user whom the cookie signs in, and renew the session when that is due.

    A page calls this when it opens, after `renew_in` seconds, and when another request gets a 401,
    which the page then repeats.
    """
    renewed: CookieTokens | None = getattr(request.state, "renewed_cookie", None)
    if renewed is not None:
        _set_cookie(response, request, renewed)
    return _render(session, principal)


@router.patch("", summary="Set language and theme")
def update_browser_session(
    body: DisplayPreferencesIn, principal: FirstPassword, session: SessionDep
) -> BrowserSessionOut:
    """Set the language and the theme of the web interface for your account, in all browsers."""
    service.update_preferences(session, principal, body.model_dump(exclude_unset=True))
    return _render(session, principal)


@router.delete("", summary="Sign a browser out", status_code=status.HTTP_204_NO_CONTENT)
@sends_headers("Set-Cookie")
def end_browser_session(
    request: Request, response: Response, principal: FirstPassword, session: SessionDep
) -> None:
    """End this session and remove the cookie."""
    service.sign_out(session, principal)
    session_cookie.remove(response, request)

"""Routes for single sign-on: redirect to the provider, its callback, and the code exchange."""

from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.identity.access import Public, SessionDep, actor_of
from aiplatform.server.identity.endpoints.sign_in import render_tokens
from aiplatform.server.identity.errors import SsoFailed, SsoOff
from aiplatform.server.identity.schemas import SsoCodeIn, SsoOut, TokenOut
from aiplatform.server.identity.service import SignedIn, sso
from aiplatform.server.identity.service.provider import Provider, provider_of

router = APIRouter(prefix="/api/v1/auth/oidc", tags=["identity"])

COOKIE_PATH = "/api/v1/auth/oidc"
REFUSED: dict[int | str, dict[str, Any]] = {
    503: {"model": ProblemDocument, "description": "The provider does not answer"}
}
MOVED: dict[int | str, dict[str, Any]] = REFUSED | {
    303: {"description": "To the provider, or back to where the sign-in began"}
}


def _provider(settings: Settings) -> Provider:
    provider = provider_of(settings)
    if provider is None:
        raise SsoOff
    return provider


def _callback(settings: Settings) -> str:
    return f"{settings.link_base}{COOKIE_PATH}/callback"


def _cookie(state: str) -> str:
    # Each sign-in has its own cookie, so that sign-ins in two tabs do not interfere.
    return f"aip_sso_{sso.challenge_of(state)[:12]}"


def _redirect(url: str) -> RedirectResponse:
    answer = RedirectResponse(url, status_code=status.HTTP_303_SEE_OTHER)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _with_parameters(redirect_uri: str, **parameters: str) -> str:
    return f"{redirect_uri}{'&' if urlsplit(redirect_uri).query else '?'}{urlencode(parameters)}"


@router.get("", summary="Is there single sign-on?")
def read_sso(_: Public) -> SsoOut:
    """Return whether users can sign in through a provider, and the URL at which they start."""
    settings = get_settings()
    provider = provider_of(settings)
    if provider is None:
        return SsoOut(enabled=False, issuer=None, login_url=None)
    login = f"{settings.link_base}{COOKIE_PATH}/login"
    return SsoOut(enabled=True, issuer=provider.issuer, login_url=login)


@router.get(
    "/login",
    summary="Begin single sign-on",
    responses=MOVED,
    response_class=RedirectResponse,
    status_code=status.HTTP_303_SEE_OTHER,
)
@sends_headers("Location", "Set-Cookie")
def begin_sso(
    _: Public,
    redirect_uri: Annotated[str, Query(max_length=500, description="where it ends")],
    code_challenge: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{43}$", description="S256")],
    state: Annotated[str, Query(max_length=200, description="comes back as it was")] = "",
) -> RedirectResponse:
    """Start single sign-on in a browser.

    The sign-in ends at `redirect_uri` with a `code`, which can be exchanged once, or with an
    `error`. `redirect_uri` must be below this platform's own address, or be the address
    `http://127.0.0.1:PORT/…` of a program on the same machine.
    """
    settings = get_settings()
    provider = _provider(settings)
    with transaction() as session:
        sign_in_start = sso.start(
            session,
            settings,
            redirect_uri=redirect_uri,
            code_challenge=code_challenge,
            client_state=state,
        )
    answer = _redirect(
        provider.login_url(
            _callback(settings),
            scope=" ".join(settings.oidc_scopes),
            state=sign_in_start.state,
            nonce=sign_in_start.nonce,
            code_challenge=sign_in_start.challenge,
        )
    )
    answer.set_cookie(
        _cookie(sign_in_start.state),
        sign_in_start.browser,
        max_age=int(sso.LOGIN_LIFETIME.total_seconds()),
        path=COOKIE_PATH,
        secure=settings.link_base.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get(
    "/callback",
    summary="Come back from the provider",
    responses=MOVED,
    response_class=RedirectResponse,
    status_code=status.HTTP_303_SEE_OTHER,
)
@sends_headers("Location", "Set-Cookie")
def finish_sso(
    request: Request,
    _: Public,
    state: Annotated[str, Query(max_length=200)],
    code: Annotated[str | None, Query(max_length=4000)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
) -> RedirectResponse:
    """Finish single sign-on in a browser that returns from the provider.

    Each sign-in can return only once.
    """
    settings = get_settings()
    provider = _provider(settings)
    origin = actor_of(request)
    browser = request.cookies.get(_cookie(state))
    with transaction() as session:
        login = sso.resume(session, state, browser)
    assert browser is not None
    sign_in_start = sso.SignInStart(state, browser)
    claims: dict[str, Any] = {"iss": provider.issuer}
    try:
        if code is None:
            raise SsoFailed(
                reason=f"the provider answered {error or 'nothing'}",
                reason_zh=f"身份提供方返回 {error or '空'}",
            )
        # Don't keep a transaction open while waiting for the provider.
        claims = provider.redeem(
            code, sign_in_start.verifier, sign_in_start.nonce, _callback(settings)
        )
        with transaction() as session:
            given = sso.admit(session, settings, login.id, claims, origin)
    except Problem as problem:
        with transaction() as session:
            sso.record_refusal(session, str(problem), claims, origin)
        outcome = {"error": problem.code, "error_description": str(problem)}
    else:
        outcome = {"code": given}
    answer = _redirect(_with_parameters(login.redirect_uri, **outcome, state=login.client_state))
    answer.delete_cookie(_cookie(state), path=COOKIE_PATH)
    return answer


@router.post("/token", summary="Exchange a code of single sign-on", responses=REFUSED)
def exchange_sso_code(
    request: Request, response: Response, body: SsoCodeIn, session: SessionDep, _: Public
) -> TokenOut:
    """Exchange the browser's code for tokens.

    A code can be exchanged once, within a minute.
    """
    return render_tokens(exchange_code(session, request, body), response)


def exchange_code(session: Session, request: Request, body: SsoCodeIn) -> SignedIn:
    """Exchange the code for a session.

    Raises:
        SsoOff, SsoFailed: see :func:`sso.exchange`.
    """
    settings = get_settings()
    _provider(settings)
    return sso.exchange(session, settings, body.code, body.code_verifier, actor_of(request))

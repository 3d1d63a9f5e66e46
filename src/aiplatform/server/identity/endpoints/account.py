"""Routes for the caller's own account: password, sessions, second factor."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.shapes.identity import EnrolmentOut, MeOut, SessionOut, TotpOut
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity import queries, service
from aiplatform.server.identity.access import (
    FirstPassword,
    PlatformGuard,
    Principal,
    SessionDep,
    SignedIn,
)
from aiplatform.server.identity.endpoints.sign_in import TAKEN, TOO_MANY, raise_if_refused
from aiplatform.server.identity.models import AuthSession, User
from aiplatform.server.identity.schemas import (
    CodeIn,
    EmailIn,
    EndedOut,
    EnrolIn,
    PasswordIn,
    ProofIn,
    RecoveryCodesOut,
    render_user,
)
from aiplatform.server.identity.service import second_factor

router = APIRouter(prefix="/api/v1/users/me", tags=["identity"])
SECOND_FACTOR: dict[int | str, dict[str, Any]] = {
    **TOO_MANY,
    409: {"model": ProblemDocument, "description": "There is one already, or none"},
    503: {"model": ProblemDocument, "description": "The server's key file is unusable"},
}


Me = Annotated[Principal, Depends(PlatformGuard(allow_first_password=True, accepts_keys=True))]


@router.get("", summary="Read your account")
def read_me(principal: Me, session: SessionDep) -> MeOut:
    """Return the account to which the token belongs."""
    return render_account(session, principal)


def render_account(session: Session, principal: Principal) -> MeOut:
    """Return the response body of the caller's own account."""
    user = session.get_one(User, principal.user_id)
    return MeOut(
        **render_user(user).model_dump(),
        permissions=sorted(principal.permissions),
        must_change_password=principal.must_change_password,
        totp_enabled=second_factor.state_of(session, user.id).enabled,
    )


@router.put(
    "/password",
    summary="Change your password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=TOO_MANY,
)
def change_password(body: PasswordIn, principal: FirstPassword, session: SessionDep) -> None:
    """Replace your password. Your other sessions end; this one continues."""
    refusal = service.change_password(
        session, principal, current=body.current_password, new=body.new_password
    )
    raise_if_refused(session, refusal)


@router.put(
    "/email",
    summary="Change your address",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={**TOO_MANY, **TAKEN},
)
def change_email(body: EmailIn, principal: SignedIn, session: SessionDep) -> None:
    """Replace the e-mail address of your account. Links sent to the old address stop working."""
    raise_if_refused(
        session,
        service.change_email(session, principal, password=body.password, email=body.email),
    )


@router.get("/sessions", summary="List your sessions")
def list_sessions(
    principal: SignedIn, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[SessionOut]:
    """List your sessions that have not ended, newest first."""
    rows, following = page_by_id(
        session,
        queries.active_sessions(principal.user_id),
        AuthSession.id,
        limit=limit,
        cursor=cursor,
    )

    def render(login: AuthSession) -> SessionOut:
        return SessionOut(
            uuid=login.uuid,
            current=login.id == principal.session_id,
            created_at=login.created_at,
            last_seen_at=max(login.refreshed_at, login.last_seen_at or login.refreshed_at),
            ip_address=None if login.ip_address is None else str(login.ip_address),
            user_agent=login.user_agent,
        )

    return render_page(rows, following, render)


@router.delete("/sessions", summary="End your other sessions")
def end_other_sessions(principal: SignedIn, session: SessionDep) -> EndedOut:
    """End all of your sessions except this one."""
    return EndedOut(ended=service.end_other_sessions(session, principal))


@router.delete(
    "/sessions/{session}", summary="End a session", status_code=status.HTTP_204_NO_CONTENT
)
def end_session(session: UUID, principal: SignedIn, database: SessionDep) -> None:
    """End one of your sessions. Its tokens stop working immediately."""
    service.end_own_session(database, principal, session)


@router.get("/totp", summary="Read your second factor")
def read_totp(principal: SignedIn, session: SessionDep) -> TotpOut:
    """Return whether a second factor is active, and how many recovery codes are left."""
    state = second_factor.state_of(session, principal.user_id)
    return TotpOut(enabled=state.enabled, recovery_codes_left=state.recovery_codes_left)


@router.post("/totp", summary="Enrol a second factor", responses=SECOND_FACTOR)
def enrol_totp(
    body: EnrolIn, principal: SignedIn, session: SessionDep, response: Response
) -> EnrolmentOut:
    """Get the secret for an authenticator app. Nothing changes until you confirm it."""
    enrolment = raise_if_refused(session, second_factor.enrol(session, principal, body.password))
    response.headers["Cache-Control"] = "no-store"
    return EnrolmentOut(secret=enrolment.secret, uri=enrolment.uri)


@router.post("/totp/confirm", summary="Confirm the second factor", responses=SECOND_FACTOR)
def confirm_totp(
    body: CodeIn, principal: SignedIn, session: SessionDep, response: Response
) -> RecoveryCodesOut:
    """Activate the second factor with a first code.

    Keep the recovery codes: they are shown only once.
    """
    codes = raise_if_refused(session, second_factor.confirm(session, principal, body.code))
    response.headers["Cache-Control"] = "no-store"
    return RecoveryCodesOut(recovery_codes=codes)


@router.post("/totp/recovery-codes", summary="Renew the recovery codes", responses=SECOND_FACTOR)
def renew_recovery_codes(
    body: ProofIn, principal: SignedIn, session: SessionDep, response: Response
) -> RecoveryCodesOut:
    """Replace all recovery codes. The old ones stop working."""
    codes = raise_if_refused(
        session,
        second_factor.renew_recovery_codes(
            session, principal, password=body.password, code=body.code
        ),
    )
    response.headers["Cache-Control"] = "no-store"
    return RecoveryCodesOut(recovery_codes=codes)


@router.post(
    "/totp/disable",
    summary="Disable the second factor",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=SECOND_FACTOR,
)
def disable_totp(body: ProofIn, principal: SignedIn, session: SessionDep) -> None:
    """Remove the second factor. The password alone is then enough to sign in."""
    raise_if_refused(
        session,
        second_factor.disable(session, principal, password=body.password, code=body.code),
    )

"""Renewal of browser sessions, whose tokens are in a cookie.

All tabs of a browser share the cookie, and each of them may ask for its renewal. The response to a
request may be lost, because people close and reload pages at any moment. Two uses of a refresh
token are therefore no sign of theft here; see :func:`renew_browser_session`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.session_cookie import CookieTokens
from aiplatform.server.core.settings import Settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import hash_token
from aiplatform.server.identity.errors import Unauthenticated
from aiplatform.server.identity.models import AuthToken
from aiplatform.server.identity.service.sessions import issue_access_token, refresh

ANSWER_LIFETIME = timedelta(minutes=1)
"""Lifetime of an access token used for a single response."""


@dataclass(frozen=True, slots=True)
class RenewedTokens:
    """A valid access token, and the cookie's new content; None leaves the cookie unchanged."""

    access: str
    cookie: CookieTokens | None = None


def renewal_due(lifetime: timedelta, left: timedelta) -> bool:
    """Return True if less than half of an access token's ``lifetime`` is ``left``."""
    return left < lifetime / 2


def renew_browser_session(
    session: Session, settings: Settings, shown: CookieTokens, origin: Actor
) -> RenewedTokens | Problem:
    """Renew the tokens in a cookie if half of the access token's lifetime has passed.

    The refresh token is exchanged as in :func:`refresh`, with two differences:

    - A token that was used within :data:`rules.REPLAY_GRACE` was used by another tab, whose
      response is on its way. The caller gets an access token for this response, and the cookie
      stays.
    - A token that was used earlier and whose successor was never used counts as a lost response,
      however long ago that was. Its successor is withdrawn, so a thief who copied the cookie gains
      at most the time until the owner's next renewal, which ends the session.
    """
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    lifetime = timedelta(minutes=settings.access_token_minutes)
    access_hash = hash_token(shown.access)
    expires_at = session.scalar(
        select(AuthToken.expires_at).where(
            AuthToken.token_hash == access_hash, AuthToken.kind == "access"
        )
    )
    if expires_at is not None and not renewal_due(lifetime, expires_at - now):
        return RenewedTokens(shown.access)
    token = queries.refresh_token(session, hash_token(shown.refresh))
    login = None if token is None else queries.lock_session(session, token.session_id)
    if login is None:
        return Unauthenticated()
    # The holder of the lock may have used the token.
    token = queries.refresh_token(session, hash_token(shown.refresh))
    if (
        token is not None
        and token.used_at is not None
        and token.withdrawn_at is None
        and login.ended_at is None
        and abs(now - token.used_at) <= rules.REPLAY_GRACE
    ):
        return RenewedTokens(issue_access_token(session, login, ANSWER_LIFETIME))
    renewed = refresh(session, settings, shown.refresh, origin, replay_grace=None)
    if isinstance(renewed, Problem):
        return renewed
    return RenewedTokens(
        renewed.access_token, CookieTokens(renewed.access_token, renewed.refresh_token)
    )


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """The time when the session ends unless renewed, and when it should be renewed."""

    expires_at: datetime
    renew_in: timedelta


def session_times(session: Session, settings: Settings, session_id: int) -> SessionTimes:
    """Return the times at which a session ends and should be renewed."""
    row = session.execute(
        select(
            func.clock_timestamp().label("now"),
            func.max(AuthToken.expires_at).label("session"),
            func.max(AuthToken.expires_at).filter(AuthToken.kind == "access").label("access"),
        ).where(AuthToken.session_id == session_id, AuthToken.withdrawn_at.is_(None))
    ).one()
    half = timedelta(minutes=settings.access_token_minutes) / 2
    return SessionTimes(row.session, max(row.access - row.now - half, timedelta(0)))

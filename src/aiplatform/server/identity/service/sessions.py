"""Sessions: sign-in, renewal of tokens (including those in browsers' cookies), and sign-out."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.clients import neighbourhood_of
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.session_cookie import CookieTokens
from aiplatform.server.core.settings import Settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import Principal, hash_token
from aiplatform.server.identity.errors import TotpRequired, Unauthenticated, WrongCredentials
from aiplatform.server.identity.models import AuthSession, AuthToken, User, UserDevice
from aiplatform.server.identity.service import hooks, passwords, second_factor
from aiplatform.server.identity.service.credential_watcher import sessions_changed
from aiplatform.server.identity.service.failures import (
    account_key,
    actor_for,
    forget_failures,
    record_failure,
    throttle,
)

MAX_AGENT = 200
DEVICE_LIFETIME = timedelta(days=365)
"""Time after which a device that has not been used to sign in is forgotten."""


def notify_new_device(session: Session, user: User, origin: Actor) -> None:
    """Notify the account holder of a sign-in from a new device, except from the very first one."""
    device = device_of(origin)
    seen = session.execute(
        update(UserDevice)
        .where(UserDevice.user_id == user.id, UserDevice.device == device)
        .values(seen_at=func.clock_timestamp())
        .returning(UserDevice.user_id)
    ).first()
    if seen is not None:
        return
    mine = UserDevice.user_id == user.id
    # Count before old devices are deleted, because an account that returns after a long time is not
    # signing in for the first time.
    known = session.scalars(select(func.count()).select_from(UserDevice).where(mine)).one()
    session.execute(
        delete(UserDevice)
        .where(mine, UserDevice.seen_at < func.clock_timestamp() - DEVICE_LIFETIME)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        insert(UserDevice).values(user_id=user.id, device=device).on_conflict_do_nothing()
    )
    if known:
        hooks.announce_security_event(
            session,
            user,
            "login",
            address=origin.ip_address or "this machine",
            address_zh=origin.ip_address or "本机",
            agent=(origin.user_agent or "an unknown program")[:MAX_AGENT],
        )


def device_of(origin: Actor) -> bytes:
    """Return a hash of the origin's program and network, which identifies a device.

    The network is used because providers change the last part of an address from day to day.
    """
    network = neighbourhood_of(origin.ip_address) or "-"
    return hashlib.sha256(f"{network}|{origin.user_agent or ''}".encode()).digest()


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new pair of tokens, shown only once. ``expires_in`` is in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    must_change_password: bool


def sign_in(
    session: Session,
    settings: Settings,
    username: str,
    password: str,
    origin: Actor,
    *,
    totp: str | None = None,
) -> SignedIn | Problem:
    """Check the password and create a session, or return the refusal.

    Attempts on the same account run one after another.
    """
    refusal: Problem | None = throttle(session, username, origin)
    if refusal is not None:
        return refusal
    user = queries.user_by_name(session, clean_text(username))
    shown = None if user is None else user.password_hash
    good, new_hash = passwords.verify(password, shown)
    if user is not None and good:
        # A password change or a deactivation ends all sessions. The lock and the second check make
        # sure that it also ends this sign-in's session or is noticed here.
        session.refresh(user, with_for_update={"key_share": True})
        good = user.password_hash == shown
    if user is None or not good or not user.is_active:
        record_failure(session, username, user, origin)
        return WrongCredentials()
    if new_hash is not None:
        user.password_hash = new_hash
    refusal = second_factor.check_at_sign_in(session, user, totp)
    if refusal is not None:
        if not isinstance(refusal, TotpRequired):
            record_failure(session, username, user, origin, during="totp")
        return refusal
    forget_failures(session, username, around=origin)
    return create_session(session, settings, user, origin, account=account_key(username))


def create_session(
    session: Session, settings: Settings, user: User, origin: Actor, **details: Any
) -> SignedIn:
    """Create a session for a user who has been authenticated."""
    session.execute(
        update(User)
        .where(User.id == user.id)
        # A sign-in does not change the account, so the account's ETag must stay the same.
        .values(last_login_at=func.clock_timestamp(), updated_at=User.updated_at)
        .execution_options(synchronize_session=False)
    )
    security = queries.security_of(session, user.id)
    _forget_old_sessions(session, user.id)
    login = AuthSession(
        user_id=user.id,
        ip_address=origin.ip_address,
        user_agent=None if origin.user_agent is None else clean_text(origin.user_agent)[:500],
    )
    session.add(login)
    session.flush()
    actor = actor_for(user, origin)
    audit.record(session, actor, AuditAction.AUTH_LOGIN, "user", user.uuid, **details)
    notify_new_device(session, user, origin)
    return _issue(session, settings, login, must_change_password=security.must_change_password)


def refresh(
    session: Session,
    settings: Settings,
    shown: str,
    origin: Actor,
    *,
    replay_grace: timedelta | None = rules.REPLAY_GRACE,
) -> SignedIn | Problem:
    """Exchange a refresh token for a new pair of tokens, or return the refusal.

    A token may be presented a second time within ``replay_grace`` (None: at any time), if the token
    issued for it has not been used. The client probably did not receive the first response, so the
    pair in that response is withdrawn and a new pair is issued. Two parties therefore never hold
    valid tokens at the same time. Any other second use ends the session.

    If a withdrawn token is presented later, the first response was not lost: two parties have
    received tokens, and it is unknown which of them is the thief. This ends the session, too. A
    thief who repeats a refresh immediately thus gains only the time until the owner's next refresh.
    """
    token = queries.refresh_token(session, hash_token(shown))
    if token is None:
        return Unauthenticated()
    login = queries.lock_session(session, token.session_id)
    # The previous holder of the lock may have used the token, or deleted the token or the session.
    token = queries.refresh_token(session, hash_token(shown))
    if login is None or token is None:
        return Unauthenticated()
    user = session.get_one(User, login.user_id, populate_existing=True)
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    if login.ended_at is not None or token.expires_at <= now or not user.is_active:
        return Unauthenticated()
    actor = actor_for(user, origin)
    if token.withdrawn_at is not None:
        return _reused(session, login, user, actor, now, withdrawn=True)
    if token.used_at is not None:
        successors = queries.tokens_since(session, login.id, token)
        # Use the absolute value, so that setting the clock back does not extend the grace period.
        recent = replay_grace is None or abs(now - token.used_at) <= replay_grace
        lost = recent and not any(successor.used_at for successor in successors)
        if not lost:
            return _reused(session, login, user, actor, now, withdrawn=False)
        for successor in successors:
            # A withdrawn refresh token is kept until it would have expired, so that its use is
            # noticed.
            if successor.kind == "refresh":
                successor.withdrawn_at = successor.withdrawn_at or now
            else:
                successor.expires_at = now
    else:
        token.used_at = now
    login.refreshed_at = now
    # A session may be renewed for years. Expired tokens are refused with or without a row.
    session.execute(
        delete(AuthToken)
        .where(AuthToken.session_id == login.id, AuthToken.expires_at < now)
        .execution_options(synchronize_session=False)
    )
    security = queries.security_of(session, user.id)
    audit.record(session, actor, AuditAction.AUTH_REFRESH, "session", login.uuid)
    return _issue(session, settings, login, must_change_password=security.must_change_password)


def _reused(
    session: Session,
    login: AuthSession,
    user: User,
    actor: Actor,
    now: datetime,
    *,
    withdrawn: bool,
) -> Problem:
    """End a session whose token was used by two parties, and notify the account's holder."""
    login.ended_at, login.end_reason = now, "token_reused"
    sessions_changed(session)
    audit.record(
        session,
        actor,
        AuditAction.AUTH_TOKEN_REUSED,
        "session",
        login.uuid,
        outcome="denied",
        withdrawn=withdrawn,
    )
    hooks.announce_security_event(session, user, "token_reused", address=actor.ip_address or "?")
    return Unauthenticated()


def sign_out(session: Session, principal: Principal) -> None:
    """End the caller's session. All of its tokens stop working immediately."""
    login = queries.lock_session(session, principal.session_id)
    if login is not None and login.ended_at is None:
        login.ended_at, login.end_reason = func.clock_timestamp(), "logout"
        sessions_changed(session)
        audit.record(session, principal.actor, AuditAction.AUTH_LOGOUT, "session", login.uuid)


def end_sessions(session: Session, user_id: int, reason: str, *, but: int | None = None) -> int:
    """End a user's sessions, except ``but``, and return their number."""
    ended = session.execute(
        update(AuthSession)
        .where(
            AuthSession.user_id == user_id,
            AuthSession.ended_at.is_(None),
            AuthSession.id.is_distinct_from(but),
        )
        .values(ended_at=func.clock_timestamp(), end_reason=reason)
        .returning(AuthSession.id)
        .execution_options(synchronize_session=False)
    ).all()
    if ended:
        sessions_changed(session)
    return len(ended)


def end_own_session(session: Session, principal: Principal, uuid: UUID) -> None:
    """End one of the caller's sessions, which may be the current one.

    Raises:
        NotFound: when the caller has no such session.
    """
    login = queries.own_session(session, principal.user_id, uuid)
    login.ended_at, login.end_reason = func.clock_timestamp(), "ended_by_user"
    sessions_changed(session)
    audit.record(session, principal.actor, AuditAction.SESSION_ENDED, "session", login.uuid)


def end_other_sessions(session: Session, principal: Principal) -> int:
    """End all of the caller's sessions except the current one, and return their number."""
    ended = end_sessions(session, principal.user_id, "ended_by_user", but=principal.session_id)
    if ended:
        audit.record(
            session, principal.actor, AuditAction.SESSION_ENDED, "user", principal.user_uuid,
            sessions_ended=ended,
        )  # fmt: skip
    return ended


def _issue(
    session: Session, settings: Settings, login: AuthSession, *, must_change_password: bool
) -> SignedIn:
    lifetimes = {
        "access": timedelta(minutes=settings.access_token_minutes),
        "refresh": timedelta(days=settings.refresh_token_days),
    }
    tokens = {kind: _add_token(session, login, kind, lifetimes[kind]) for kind in lifetimes}
    session.flush()
    return SignedIn(
        access_token=tokens["access"],
        refresh_token=tokens["refresh"],
        expires_in=int(lifetimes["access"].total_seconds()),
        must_change_password=must_change_password,
    )


def issue_access_token(session: Session, login: AuthSession, lifetime: timedelta) -> str:
    """Issue a non-renewable access token for the session."""
    token = _add_token(session, login, "access", lifetime)
    session.flush()
    return token


def _add_token(session: Session, login: AuthSession, kind: str, lifetime: timedelta) -> str:
    # The prefix lets secret scanners recognise a leaked token.
    token = f"aip_{kind}_{secrets.token_urlsafe(32)}"
    session.add(
        AuthToken(
            session_id=login.id,
            kind=kind,
            token_hash=hash_token(token),
            expires_at=func.clock_timestamp() + lifetime,
        )
    )
    return token


def _forget_old_sessions(session: Session, user_id: int) -> None:
    """Delete the user's sessions whose tokens have all expired; they remain in the audit trail."""
    living = select(AuthToken.id).where(
        AuthToken.session_id == AuthSession.id, AuthToken.expires_at > func.now()
    )
    session.execute(
        delete(AuthSession)
        .where(AuthSession.user_id == user_id, ~living.exists())
        .execution_options(synchronize_session=False)
    )


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

    - A token that was used within :data:`rules.REPLAY_GRACE` was probably used by another tab,
      whose response is on its way. The caller gets an access token for this one response, and the
      cookie is not changed.
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
    # The previous holder of the lock may have used the token.
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
    """The time at which a session ends unless it is renewed, and the time to renew it."""

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

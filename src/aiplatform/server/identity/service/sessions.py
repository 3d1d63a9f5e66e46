"""Signing in, renewing, signing out.

A sign-in begins a session, the family of all tokens that descend from it. A refresh token is used
once; shown again it ends the family, since two parties then hold what one was given. What is
refused must stay on record, so refusals are returned, not raised: the transaction commits.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.settings import Settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import Principal, hash_token
from aiplatform.server.identity.errors import TooManyAttempts, Unauthenticated, WrongCredentials
from aiplatform.server.identity.models import AuthSession, AuthToken, User
from aiplatform.server.identity.service import passwords


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh pair of tokens, shown this once. ``expires_in`` is the access token's, in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    must_change_password: bool


def account_key(username: str) -> str:
    """What the record calls an account that may not exist.

    Not what was typed: people type passwords into the wrong field.
    """
    return hashlib.sha256(username.encode("utf-8", "replace")).hexdigest()[:16]


def sign_in(
    session: Session, settings: Settings, username: str, password: str, origin: Actor
) -> SignedIn | Problem:
    """Begin a session, or the refusal. One attempt per account at a time."""
    refusal = throttle(session, username, origin)
    if refusal is not None:
        return refusal
    user = queries.user_by_name(session, clean_text(username))
    good, new_hash = passwords.verify(password, None if user is None else user.password_hash)
    if user is None or not good or not user.is_active:
        record_failure(session, username, user, origin)
        return WrongCredentials()
    if new_hash is not None:
        user.password_hash = new_hash
    user.last_login_at = func.clock_timestamp()
    security = queries.security_of(session, user.id)
    _forget_old_sessions(session, user.id)
    login = AuthSession(
        user_id=user.id,
        ip_address=origin.ip_address,
        user_agent=None if origin.user_agent is None else clean_text(origin.user_agent)[:500],
    )
    session.add(login)
    session.flush()
    audit.record(
        session,
        _actor(user, origin),
        AuditAction.AUTH_LOGIN,
        "user",
        user.uuid,
        account=account_key(username),
    )
    return _issue(session, settings, login, must_change_password=security.must_change_password)


def throttle(session: Session, username: str, origin: Actor) -> TooManyAttempts | None:
    """Let one attempt on an account pass at a time, and none too soon after too many failures.

    It treats accounts that do not exist like those that do.
    """
    key = account_key(username)
    session.execute(select(func.pg_advisory_xact_lock(int(key, 16) - 2**63)))
    failures = queries.recent_failures(session, key, origin.ip_address, rules.FAILURE_WINDOW)
    left = max(
        rules.wait_after(failures.here, free=rules.FREE_FAILURES) - failures.since_here,
        rules.wait_after(failures.anywhere, free=rules.FREE_FAILURES_ANYWHERE)
        - failures.since_anywhere,
    )
    return None if left <= timedelta(0) else TooManyAttempts(seconds=ceil(left.total_seconds()))


def record_failure(
    session: Session, username: str, user: User | None, origin: Actor, **details: Any
) -> None:
    """Put a wrong password on record; :func:`throttle` counts these."""
    audit.record(
        session,
        origin if user is None else _actor(user, origin),
        AuditAction.AUTH_LOGIN_FAILED,
        "user",
        None if user is None else user.uuid,
        outcome="failure",
        account=account_key(username),
        **details,
    )


def refresh(session: Session, settings: Settings, shown: str, origin: Actor) -> SignedIn | Problem:
    """A fresh pair for a refresh token, which is used up by it; or the refusal.

    Shown a second time within :data:`rules.REPLAY_GRACE`, and before its successor was used, it
    counts as a repetition by a client that lost the answer: the pair that went out first is
    withdrawn and a new one made, so that at no time two parties hold a living one. Any other second
    use ends the session. Either way a thief and the owner can't both stay in.
    """
    token = queries.refresh_token(session, hash_token(shown))
    if token is None:
        return Unauthenticated()
    login = queries.lock_session(session, token.session_id)
    session.refresh(token)
    user = session.get_one(User, login.user_id, populate_existing=True)
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    if login.ended_at is not None or token.expires_at <= now or not user.is_active:
        return Unauthenticated()
    actor = _actor(user, origin)
    if token.used_at is not None:
        successors = queries.tokens_since(session, login.id, token)
        lost = now - token.used_at <= rules.REPLAY_GRACE and not any(
            successor.used_at for successor in successors
        )
        if not lost:
            login.ended_at, login.end_reason = now, "token_reused"
            audit.record(
                session, actor, AuditAction.AUTH_TOKEN_REUSED, "session", login.uuid,
                outcome="denied",
            )  # fmt: skip
            return Unauthenticated()
        for successor in successors:
            successor.expires_at = now
    else:
        token.used_at = now
    login.refreshed_at = now
    security = queries.security_of(session, user.id)
    audit.record(session, actor, AuditAction.AUTH_REFRESH, "session", login.uuid)
    return _issue(session, settings, login, must_change_password=security.must_change_password)


def sign_out(session: Session, principal: Principal) -> None:
    """End the caller's session: all of its tokens are dead at once."""
    login = queries.lock_session(session, principal.session_id)
    if login.ended_at is None:
        login.ended_at, login.end_reason = func.clock_timestamp(), "logout"
        audit.record(session, principal.actor, AuditAction.AUTH_LOGOUT, "session", login.uuid)


def end_sessions(session: Session, user_id: int, reason: str, *, but: int | None = None) -> int:
    """End a user's sessions, ``but`` one. Returns how many."""
    ended = session.execute(
        update(AuthSession)
        .where(
            AuthSession.user_id == user_id,
            AuthSession.ended_at.is_(None),
            AuthSession.id.is_distinct_from(but),
        )
        .values(ended_at=func.clock_timestamp(), end_reason=reason)
        .returning(AuthSession.id)
    )
    return len(ended.all())


def _issue(
    session: Session, settings: Settings, login: AuthSession, *, must_change_password: bool
) -> SignedIn:
    lifetimes = {
        "access": timedelta(minutes=settings.access_token_minutes),
        "refresh": timedelta(days=settings.refresh_token_days),
    }
    # The prefix lets secret scanners recognise a token that leaked.
    tokens = {kind: f"aip_{kind}_{secrets.token_urlsafe(32)}" for kind in lifetimes}
    for kind, token in tokens.items():
        session.add(
            AuthToken(
                session_id=login.id,
                kind=kind,
                token_hash=hash_token(token),
                expires_at=func.clock_timestamp() + lifetimes[kind],
            )
        )
    session.flush()
    return SignedIn(
        access_token=tokens["access"],
        refresh_token=tokens["refresh"],
        expires_in=int(lifetimes["access"].total_seconds()),
        must_change_password=must_change_password,
    )


def _forget_old_sessions(session: Session, user_id: int) -> None:
    """Drop the user's sessions of which every token has expired; the audit remembers them."""
    living = select(AuthToken.id).where(
        AuthToken.session_id == AuthSession.id, AuthToken.expires_at > func.now()
    )
    session.execute(
        delete(AuthSession)
        .where(AuthSession.user_id == user_id, ~living.exists())
        .execution_options(synchronize_session=False)
    )


def _actor(user: User, origin: Actor) -> Actor:
    return Actor(
        user_id=user.id,
        user_uuid=user.uuid,
        username=user.username,
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
    )

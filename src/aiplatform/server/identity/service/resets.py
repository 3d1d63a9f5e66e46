"""Password and e-mail address changes by the account holder, and password reset links."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import Language, Problem
from aiplatform.server.core.settings import Settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import Principal, hash_token
from aiplatform.server.identity.errors import InvalidLink, WrongPassword
from aiplatform.server.identity.models import PasswordReset, User
from aiplatform.server.identity.service import hooks, passwords
from aiplatform.server.identity.service.accounts import lock_accounts, refuse_taken
from aiplatform.server.identity.service.failures import (
    actor_for,
    forget_failures,
    record_failure,
    throttle,
)
from aiplatform.server.identity.service.sessions import end_sessions


@dataclass(frozen=True, slots=True)
class Link:
    """A single-use token and the URL that contains it. It is shown only once."""

    token: str
    link: str
    expires_at: datetime


def make_link(settings: Settings, page: str, lifetime: timedelta, now: datetime) -> Link:
    """Create a new token, and the link that contains it.

    The token follows a ``#``, so browsers do not send it to servers, and it does not appear in
    their logs.
    """
    token = f"aip_{page.partition('-')[0]}_{secrets.token_urlsafe(32)}"
    return Link(token, f"{settings.link_base}/{page}#{token}", now + lifetime)


def change_password(
    session: Session, principal: Principal, *, current: str, new: str
) -> Problem | None:
    """Replace the caller's password and end their other sessions; return the refusal or None.

    A refusal is returned, not raised, because the record of a wrong password must be committed.
    """
    refusal = throttle(session, principal.username, principal.actor)
    if refusal is not None:
        return refusal
    user = session.get_one(
        User, principal.user_id, populate_existing=True, with_for_update={"key_share": True}
    )
    good, _ = passwords.verify(current, user.password_hash)
    if not good:
        record_failure(session, principal.username, user, principal.actor, during="password_change")
        return WrongPassword()
    weak = passwords.too_weak(new, username=user.username, email=user.email, current=current)
    if weak is not None:
        return weak
    ended = _replace(session, user, new, "password_changed", but=principal.session_id)
    audit.record(
        session,
        principal.actor,
        AuditAction.USER_PASSWORD_CHANGED,
        "user",
        user.uuid,
        sessions_ended=ended,
    )
    hooks.announce_security_event(session, user, "password_changed")
    return None


def change_email(
    session: Session, principal: Principal, *, password: str, email: str
) -> Problem | None:
    """Replace the caller's e-mail address; return the refusal or None.

    It requires the password, because a person who controls the address can reset the password.
    Links sent to the old address stop working.

    Raises:
        NameTaken: when another account has the address.
    """
    refusal = throttle(session, principal.username, principal.actor)
    if refusal is not None:
        return refusal
    user = session.get_one(User, principal.user_id, populate_existing=True)
    shown = user.password_hash
    good, _ = passwords.verify(password, shown)
    # Lock only now: the lock blocks all changes to accounts, and the verification was slow.
    lock_accounts(session)
    session.refresh(user, with_for_update={"key_share": True})
    if not good or user.password_hash != shown:
        record_failure(session, principal.username, user, principal.actor, during="email_change")
        return WrongPassword()
    if user.email == email:
        return None
    refuse_taken(session, username=None, email=email, but=user.id)
    # Announce this before the address changes: a warning must reach the old address, in case the
    # account holder did not make the change.
    hooks.announce_security_event(session, user, "email_changed")
    before, user.email = user.email, email
    queries.security_of(session, user.id).email_claimed = True
    withdraw_resets(session, user.id)
    audit.record(
        session,
        principal.actor,
        AuditAction.USER_UPDATED,
        "user",
        user.uuid,
        before={"email": before},
        after={"email": email},
    )
    return None


def issue_reset(session: Session, principal: Principal, settings: Settings, user: User) -> Link:
    """Create a reset link for an administrator to deliver. Earlier links stop working.

    ``user`` must come from :func:`administration.lock_manageable_user`.
    """
    withdraw_resets(session, user.id)
    link, _ = _add_reset(session, settings, user, created_by=principal.user_id)
    audit.record(
        session, principal.actor, AuditAction.USER_PASSWORD_RESET_ISSUED, "user", user.uuid
    )
    return link


def request_reset(
    session: Session, settings: Settings, email: str, origin: Actor, language: Language
) -> None:
    """Send a reset link to the account with this address.

    Nothing is sent if there is no such account, if it is inactive, or if a link was sent recently.
    The caller is not told whether a link was sent.
    """
    user = session.scalar(
        select(User)
        .where(func.lower(User.email) == email.lower(), User.is_active)
        .with_for_update(key_share=True)
    )
    # An account without a password signs in through the provider, which a reset link must not
    # bypass.
    if user is None or user.password_hash == rules.NO_PASSWORD:
        return
    if queries.reset_sent_since(session, user.id, rules.RESET_PAUSE):
        return
    link, reset = _add_reset(session, settings, user, created_by=None)
    sent = hooks.send_link(session, user.email, "password_reset", link.link, language)
    if not sent:
        session.delete(reset)  # nobody can receive the link; an administrator can issue another
    audit.record(
        session,
        origin,
        AuditAction.USER_PASSWORD_RESET_REQUESTED,
        "user",
        user.uuid,
        outcome="success" if sent else "failure",
    )


def reset_password(session: Session, token: str, new: str, origin: Actor) -> None:
    """Set a new password and end all of the account's sessions. The second factor is kept.

    Raises:
        InvalidLink: when the link is not valid, or no longer valid.
        WeakPassword: when the password is refused; the link remains valid.
    """
    reset = queries.usable_reset(session, hash_token(token))
    user = (
        None
        if reset is None
        else session.get(User, reset.user_id, populate_existing=True, with_for_update=True)
    )
    if user is None or not user.is_active:
        raise InvalidLink
    weak = passwords.too_weak(new, username=user.username, email=user.email)
    if weak is not None:
        raise weak
    ended = _replace(session, user, new, "password_reset")
    withdraw_resets(session, user.id)
    forget_failures(session, user.username)
    audit.record(
        session,
        actor_for(user, origin),
        AuditAction.USER_PASSWORD_RESET,
        "user",
        user.uuid,
        sessions_ended=ended,
    )
    hooks.announce_security_event(session, user, "password_reset")


def withdraw_resets(session: Session, user_id: int) -> None:
    """Delete all reset links of an account."""
    session.execute(
        delete(PasswordReset)
        .where(PasswordReset.user_id == user_id)
        .execution_options(synchronize_session=False)
    )


def _replace(
    session: Session, user: User, password: str, reason: str, *, but: int | None = None
) -> int:
    user.password_hash = passwords.hash_password(password)
    security = queries.security_of(session, user.id)
    security.must_change_password = False
    security.password_changed_at = func.clock_timestamp()
    return end_sessions(session, user.id, reason, but=but)


def _add_reset(
    session: Session, settings: Settings, user: User, *, created_by: int | None
) -> tuple[Link, PasswordReset]:
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    lifetime = timedelta(minutes=settings.password_reset_minutes)
    link = make_link(settings, "reset-password", lifetime, now)
    reset = PasswordReset(
        token_hash=hash_token(link.token),
        user_id=user.id,
        created_by=created_by,
        expires_at=link.expires_at,
    )
    session.add(reset)
    session.flush()
    return link, reset

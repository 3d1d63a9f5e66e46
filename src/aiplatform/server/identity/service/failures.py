"""Failed sign-ins, and the delays that they cause for an account or an address.

Accounts that do not exist are treated like those that do.
"""

import hashlib
from datetime import timedelta
from math import ceil
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.clients import neighbourhood_of, network_of
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.errors import TooManyAttempts
from aiplatform.server.identity.models import LoginFailure, User

MAX_PRUNED = 100
"""Maximum number of old rows that are deleted when a failure is recorded."""


def account_key(username: str) -> str:
    """Return the pseudonym of an account that may not exist.

    The entered name is not stored, because users sometimes type their password into the user name
    field.
    """
    return hashlib.sha256(username.encode("utf-8", "replace")).hexdigest()[:16]


def actor_for(user: User, origin: Actor) -> Actor:
    """Return the user as an actor, with the request's address and program."""
    return Actor(
        user_id=user.id,
        user_uuid=user.uuid,
        username=user.username,
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
    )


def throttle(session: Session, username: str, origin: Actor) -> TooManyAttempts | None:
    """Serialise the attempts on an account; return an error if an attempt comes too early.

    If the account has signed in from the neighbourhood of the address, only failures from there
    count against it. Nobody can therefore lock out the holder by trying wrong passwords from
    elsewhere.
    """
    key = account_key(username)
    session.execute(select(func.pg_advisory_xact_lock(int(key, 16) - 2**63)))
    failures = queries.recent_failures(
        session,
        clean_text(username),
        key,
        network_of(origin.ip_address),
        neighbourhood_of(origin.ip_address),
        rules.FAILURE_WINDOW,
    )
    left = max(
        rules.wait_after(failed.count, free=free) - failed.since
        for failed, free in (
            (failures.here, rules.FREE_FAILURES),
            (failures.anywhere, rules.FREE_FAILURES_ANYWHERE),
            (failures.address, rules.FREE_FAILURES_ADDRESS),
        )
    )
    return None if left <= timedelta(0) else TooManyAttempts(seconds=ceil(left.total_seconds()))


def record_failure(
    session: Session, username: str, user: User | None, origin: Actor, **details: Any
) -> None:
    """Record a wrong password or code, for :func:`throttle` to count."""
    session.add(LoginFailure(account=account_key(username), address=network_of(origin.ip_address)))
    past = (
        select(LoginFailure.id)
        .where(LoginFailure.failed_at < func.clock_timestamp() - rules.FAILURE_WINDOW)
        .limit(MAX_PRUNED)
        .with_for_update(skip_locked=True)
    )
    session.execute(
        delete(LoginFailure)
        .where(LoginFailure.id.in_(past))
        .execution_options(synchronize_session=False)
    )
    audit.record(
        session,
        origin if user is None else actor_for(user, origin),
        AuditAction.AUTH_LOGIN_FAILED,
        "user",
        None if user is None else user.uuid,
        outcome="failure",
        account=account_key(username),
        **details,
    )


def forget_failures(session: Session, username: str, *, around: Actor | None = None) -> None:
    """Delete an account's failures, so that its holder need not wait.

    Args:
        session: the database session.
        username: the account's user name.
        around: delete only failures from the neighbourhood of this actor's address, because a
            sign-in from one network must not allow further attempts from others.
    """
    forgotten = delete(LoginFailure).where(LoginFailure.account == account_key(username))
    if around is not None:
        forgotten = forgotten.where(
            queries.in_network(LoginFailure.address, neighbourhood_of(around.ip_address))
        )
    session.execute(forgotten.execution_options(synchronize_session=False))

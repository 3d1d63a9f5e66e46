"""The second factor: RFC 6238 codes from an authenticator app, or recovery codes.

Each code is accepted only once, because the time step of the last accepted app code is stored, and
a recovery code is deleted when it is used. A refusal because of a wrong password or code is
returned, not raised, so that the record of the failure is committed.
"""

import base64
import hashlib
import os
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.encryption import context_of, decrypt, encrypt
from aiplatform.server.core.errors import Problem
from aiplatform.server.identity import rules
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import (
    ProofRequired,
    TotpActive,
    TotpInactive,
    TotpRequired,
    WrongCode,
    WrongPassword,
    WrongTotp,
)
from aiplatform.server.identity.models import RecoveryCode, Totp, User
from aiplatform.server.identity.service import hooks, passwords
from aiplatform.server.identity.service.failures import record_failure, throttle

ISSUER = "AI Platform"
STEP_SECONDS = 30
DRIFT = 1
"""Number of time steps that a phone's clock may be ahead or behind."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The secret of a second factor, for an authenticator app. It is shown only once."""

    secret: str
    uri: str


@dataclass(frozen=True, slots=True)
class State:
    """The state of an account's second factor, and the number of remaining recovery codes."""

    enabled: bool
    recovery_codes_left: int


def state_of(session: Session, user_id: int) -> State:
    """Return the state of an account's second factor."""
    enabled = session.scalar(
        select(Totp.user_id).where(Totp.user_id == user_id, Totp.confirmed_at.is_not(None))
    )
    left = session.scalars(
        select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
    ).one()
    return State(enabled is not None, left)


def check_at_sign_in(session: Session, user: User, code: str | None) -> Problem | None:
    """Return the error for a missing or wrong second-factor code; None if sign-in may proceed.

    The password has already been verified. The error is TotpRequired for a missing code and
    WrongTotp for a wrong one.
    """
    row = _locked(session, user.id)
    if row is None or row.confirmed_at is None:
        return None
    if not code:
        return TotpRequired()
    return None if _takes(session, row, code) else WrongTotp()


def enrol(session: Session, principal: Principal, password: str) -> Enrolment | Problem:
    """Create the secret of a second factor, which has no effect until it is confirmed.

    An unconfirmed secret is replaced.

    Raises:
        TotpActive: when the account already has a second factor.
    """
    refusal = _check_password(session, principal, password)
    if refusal is not None:
        return refusal
    row = _locked(session, principal.user_id)
    if row is not None and row.confirmed_at is not None:
        raise TotpActive
    import pyotp  # noqa: PLC0415  (a process that checks no code need not load it)

    seed = pyotp.random_base32()
    encrypted = encrypt(seed, context_of(Totp.__table__.c.seed, user_id=principal.user_id))
    if row is None:
        session.add(Totp(user_id=principal.user_id, seed=encrypted))
    else:
        row.seed, row.last_step = encrypted, 0
    session.flush()
    _record(session, principal, AuditAction.USER_TOTP_ENROLLED)
    uri = pyotp.TOTP(seed).provisioning_uri(name=principal.username, issuer_name=ISSUER)
    return Enrolment(seed, uri)


def confirm(session: Session, principal: Principal, code: str) -> list[str] | Problem:
    """Activate the second factor and return the recovery codes, which are shown only once.

    Raises:
        TotpInactive: when no second factor was enrolled.
        TotpActive: when it is already active.
    """
    refusal: Problem | None = throttle(session, principal.username, principal.actor)
    if refusal is not None:
        return refusal
    row = _locked(session, principal.user_id)
    if row is None:
        raise TotpInactive
    if row.confirmed_at is not None:
        raise TotpActive
    user = session.get_one(User, principal.user_id)
    if not _takes_code(row, _plain(code)):
        record_failure(session, principal.username, user, principal.actor, during="totp_confirm")
        return WrongCode()
    row.confirmed_at = func.clock_timestamp()
    codes = _fresh_recovery_codes(session, principal.user_id)
    _record(session, principal, AuditAction.USER_TOTP_ENABLED)
    hooks.announce_security_event(session, user, "totp_enabled")
    return codes


def renew_recovery_codes(
    session: Session, principal: Principal, *, password: str | None, code: str | None
) -> list[str] | Problem:
    """Replace the recovery codes.

    Raises:
        TotpInactive: when there is no second factor.
        ProofRequired: when neither password nor code is given.
    """
    refusal = _check_either(session, principal, password, code)
    if refusal is not None:
        return refusal
    codes = _fresh_recovery_codes(session, principal.user_id)
    _record(session, principal, AuditAction.USER_RECOVERY_CODES_RENEWED)
    hooks.announce_security_event(
        session, session.get_one(User, principal.user_id), "recovery_codes_renewed"
    )
    return codes


def disable(
    session: Session, principal: Principal, *, password: str | None, code: str | None
) -> Problem | None:
    """Remove the second factor.

    Raises:
        TotpInactive: when there is none.
        ProofRequired: when neither password nor code is given.
    """
    refusal = _check_either(session, principal, password, code)
    if refusal is not None:
        return refusal
    remove(session, principal.user_id)
    _record(session, principal, AuditAction.USER_TOTP_DISABLED)
    hooks.announce_security_event(
        session, session.get_one(User, principal.user_id), "totp_disabled"
    )
    return None


def remove(session: Session, user_id: int) -> bool:
    """Delete the secret and the recovery codes; return True if a second factor was active."""
    gone = session.execute(
        delete(Totp)
        .where(Totp.user_id == user_id)
        .returning(Totp.confirmed_at)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return gone is not None and gone.confirmed_at is not None


def _locked(session: Session, user_id: int) -> Totp | None:
    """Return the account's second factor, locked until the transaction ends, or None."""
    return session.get(Totp, user_id, populate_existing=True, with_for_update=True)


def _plain(code: str) -> str:
    return "".join(code.split()).replace("-", "").lower()


def _takes(session: Session, row: Totp, code: str) -> bool:
    plain = _plain(code)
    if len(plain) == 6:
        return _takes_code(row, plain)
    used = session.execute(
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == row.user_id, RecoveryCode.code_hash == _hash(plain))
        .returning(RecoveryCode.user_id)
        .execution_options(synchronize_session=False)
    )
    return used.one_or_none() is not None


def _takes_code(row: Totp, plain: str) -> bool:
    """Accept a code if it is current and later than the last accepted code; return True if so."""
    import pyotp  # noqa: PLC0415

    seed = decrypt(row.seed, context_of(Totp.__table__.c.seed, user_id=row.user_id))
    app = pyotp.TOTP(seed)
    now = int(time.time()) // STEP_SECONDS
    for step in range(now - DRIFT, now + DRIFT + 1):
        right = secrets.compare_digest(app.generate_otp(step).encode(), plain.encode())
        if right and step > row.last_step:
            row.last_step = step
            return True
    return False


def _fresh_recovery_codes(session: Session, user_id: int) -> list[str]:
    session.execute(
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == user_id)
        .execution_options(synchronize_session=False)
    )
    codes = []
    for _ in range(rules.RECOVERY_CODES):
        # The codes have 80 random bits, so a plain digest can't be reversed by guessing.
        plain = base64.b32encode(os.urandom(10)).decode().lower()
        session.add(RecoveryCode(user_id=user_id, code_hash=_hash(plain)))
        codes.append("-".join(plain[start : start + 4] for start in range(0, 16, 4)))
    session.flush()
    return codes


def _hash(plain: str) -> bytes:
    return hashlib.sha256(plain.encode("utf-8", "replace")).digest()


def _check_password(session: Session, principal: Principal, password: str) -> Problem | None:
    refusal = throttle(session, principal.username, principal.actor)
    if refusal is not None:
        return refusal
    user = session.get_one(User, principal.user_id, populate_existing=True)
    good, _ = passwords.verify(password, user.password_hash)
    if not good:
        record_failure(session, principal.username, user, principal.actor, during="totp_change")
        return WrongPassword()
    return None


def _check_either(
    session: Session, principal: Principal, password: str | None, code: str | None
) -> Problem | None:
    if not password and not code:
        raise ProofRequired
    if not code:
        assert password is not None
        wrong = _check_password(session, principal, password)
        if wrong is None:
            _required(session, principal)
        return wrong
    refusal = throttle(session, principal.username, principal.actor)
    if refusal is not None:
        return refusal
    if not _takes(session, _required(session, principal), code):
        user = session.get_one(User, principal.user_id)
        record_failure(session, principal.username, user, principal.actor, during="totp_change")
        return WrongCode()
    return None


def _required(session: Session, principal: Principal) -> Totp:
    row = _locked(session, principal.user_id)
    if row is None or row.confirmed_at is None:
        raise TotpInactive
    return row


def _record(session: Session, principal: Principal, action: AuditAction) -> None:
    audit.record(session, principal.actor, action, "user", principal.user_uuid)

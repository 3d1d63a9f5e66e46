"""Sign-in through an OpenID Connect provider.

The browser gets a secret in a cookie. The nonce and the code verifier are derived from it and from
the state, so only the browser that started a sign-in can finish it, not a person who reads the
database. The client gets a code that can be exchanged for tokens once and is bound to the client by
PKCE (RFC 7636; RFC 8252 for native programs).
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.names import nearest_name
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.settings import Settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import hash_token
from aiplatform.server.identity.errors import LastAdministrator, RedirectRefused, SsoFailed
from aiplatform.server.identity.models import Role, SsoIdentity, SsoLogin, User
from aiplatform.server.identity.service.accounts import MAX_GLOBAL_ROLE, lock_accounts
from aiplatform.server.identity.service.administration import ensure_administrator_remains
from aiplatform.server.identity.service.failures import actor_for
from aiplatform.server.identity.service.sessions import SignedIn, create_session

log = structlog.get_logger(__name__)

LOGIN_LIFETIME = timedelta(minutes=10)
CODE_LIFETIME = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class SignInStart:
    """The start of a sign-in: the state for the provider and the browser cookie's secret."""

    state: str
    browser: str

    @property
    def nonce(self) -> str:
        """The nonce that the ID token must contain."""
        return _derive(self, "nonce")

    @property
    def verifier(self) -> str:
        """The PKCE code verifier, proof for the provider that the platform began the sign-in."""
        return _derive(self, "verifier")

    @property
    def challenge(self) -> str:
        """The PKCE code challenge, which is sent to the provider."""
        return challenge_of(self.verifier)


def challenge_of(verifier: str) -> str:
    """Return the S256 code challenge of a verifier (RFC 7636)."""
    return _base64(hashlib.sha256(verifier.encode()).digest())


def start(
    session: Session,
    settings: Settings,
    *,
    redirect_uri: str,
    code_challenge: str,
    client_state: str,
) -> SignInStart:
    """Start a sign-in that ends at ``redirect_uri``.

    Raises:
        RedirectRefused: the address belongs neither to this platform nor to a local program.
    """
    if not _is_ours(redirect_uri, settings):
        raise RedirectRefused
    session.execute(delete(SsoLogin).where(SsoLogin.expires_at < func.now() - timedelta(days=1)))
    sign_in_start = SignInStart(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    session.add(
        SsoLogin(
            state_hash=hash_token(sign_in_start.state),
            browser_hash=hash_token(sign_in_start.browser),
            redirect_uri=redirect_uri,
            client_state=client_state,
            code_challenge=code_challenge,
            expires_at=func.clock_timestamp() + LOGIN_LIFETIME,
        )
    )
    session.flush()
    return sign_in_start


def resume(session: Session, state: str, browser: str | None) -> SsoLogin:
    """Return the sign-in that this browser started. Each sign-in can be resumed only once.

    Raises:
        SsoFailed: when the state is unknown, used or expired, or belongs to another browser.
    """
    row = session.scalar(
        select(SsoLogin).where(SsoLogin.state_hash == hash_token(state)).with_for_update()
    )
    now = session.scalars(select(func.clock_timestamp())).one()
    if row is None or row.returned_at is not None or row.expires_at <= now:
        raise SsoFailed(
            reason="this sign-in is unknown, was finished, or took too long",
            reason_zh="该登录请求不存在、已完成或已超时",
        )
    if browser is None or not hmac.compare_digest(hash_token(browser), row.browser_hash):
        raise SsoFailed(
            reason="the sign-in was started in another browser",
            reason_zh="该登录请求由其他浏览器发起",
        )
    row.returned_at = now
    session.flush()
    return row


def admit(
    session: Session, settings: Settings, login_id: int, claims: dict[str, Any], origin: Actor
) -> str:
    """Find or create the account for the claims, and return a code to exchange for tokens.

    Raises:
        SsoFailed: when there is no account for the claims, or it is deactivated. Then roll back and
            call :func:`record_refusal`.
    """
    lock_accounts(session)
    user = _account(session, settings, claims, origin)
    if not user.is_active:
        raise SsoFailed(reason="the account is not active", reason_zh="账号未启用")
    if settings.oidc_roles:
        _give_role(session, settings, user, claims, origin)
    code = secrets.token_urlsafe(32)
    row = session.get_one(SsoLogin, login_id, with_for_update=True)
    row.code_hash = hash_token(code)
    row.user_id = user.id
    row.code_expires_at = func.clock_timestamp() + CODE_LIFETIME
    session.flush()
    return code


def exchange(
    session: Session, settings: Settings, code: str, verifier: str, origin: Actor
) -> SignedIn:
    """Exchange a code for tokens. This works once, for the program that started the sign-in.

    Raises:
        SsoFailed: when the code is unknown, used or expired, or belongs to another program.
    """
    row = session.scalar(
        select(SsoLogin).where(SsoLogin.code_hash == hash_token(code)).with_for_update()
    )
    now = session.scalars(select(func.clock_timestamp())).one()
    if (
        row is None
        or row.user_id is None
        or row.exchanged_at is not None
        or row.code_expires_at is None
        or row.code_expires_at <= now
        or not hmac.compare_digest(challenge_of(verifier), row.code_challenge)
    ):
        raise SsoFailed(
            reason="this code is unknown, was used, or has expired",
            reason_zh="该代码无效、已使用或已过期",
        )
    row.exchanged_at = now
    # A shared lock would not do: two transactions that share a lock on the row and then write it
    # would deadlock.
    user = session.get_one(
        User, row.user_id, populate_existing=True, with_for_update={"key_share": True}
    )
    if not user.is_active:
        raise SsoFailed(reason="the account is not active", reason_zh="账号未启用")
    return create_session(session, settings, user, origin, method="sso")


def record_refusal(session: Session, problem: str, claims: dict[str, Any], origin: Actor) -> None:
    """Record that a user whom the provider authenticated was not admitted."""
    audit.record(
        session,
        origin,
        AuditAction.AUTH_LOGIN_FAILED,
        "user",
        outcome="failure",
        method="sso",
        reason=problem,
        issuer=claims.get("iss"),
        subject=str(claims.get("sub"))[:255],
    )


def _account(session: Session, settings: Settings, claims: dict[str, Any], origin: Actor) -> User:
    issuer, subject = str(claims["iss"]), str(claims["sub"])
    known = session.scalar(
        select(User)
        .join(SsoIdentity, SsoIdentity.user_id == User.id)
        .where(SsoIdentity.issuer == issuer, SsoIdentity.subject == subject)
        .with_for_update(of=User)
        .execution_options(populate_existing=True)
    )
    if known is not None:
        return known
    email = _verified_email(claims)
    holder = None
    if email is not None:
        holder = session.scalar(select(User).where(func.lower(User.email) == email.lower()))
    linked = holder is not None and settings.oidc_link_by_email
    if holder is not None and not linked:
        raise SsoFailed(
            reason="an account with your e-mail address exists already, and is not linked",
            reason_zh="该邮箱已有账号，且未关联单点登录",
        )
    if holder is not None and queries.security_of(session, holder.id).email_claimed:
        # Otherwise, someone who enters another person's address before that person signs in would
        # share the account with them.
        raise SsoFailed(
            reason="an account has your e-mail address, but the address is not confirmed; if it is "
            "your account, ask an administrator to set the address again",
            reason_zh="已有账号使用该邮箱，但邮箱未经确认；如该账号属于您，请管理员重新设置该邮箱",
        )
    if holder is None:
        if not settings.oidc_create_users:
            raise SsoFailed(
                reason="you have no account on this platform", reason_zh="您在此平台没有账号"
            )
        holder = User(
            username=_free_username(session, claims.get(settings.oidc_username_claim)),
            # An unverified address must not be stored, because links that reset passwords are sent
            # there.
            email=email or f"{uuid4().hex}@sso.invalid",
            password_hash=rules.NO_PASSWORD,
            role=rules.PLAIN_USER,
        )
        session.add(holder)
        session.flush()
        session.refresh(holder)
        queries.security_of(session, holder.id)
    session.add(SsoIdentity(user_id=holder.id, issuer=issuer, subject=subject))
    session.flush()
    audit.record(
        session,
        actor_for(holder, origin),
        AuditAction.USER_SSO_LINKED if linked else AuditAction.USER_CREATED,
        "user",
        holder.uuid,
        username=holder.username,
        issuer=issuer,
        subject=subject,
    )
    return holder


def _give_role(
    session: Session, settings: Settings, user: User, claims: dict[str, Any], origin: Actor
) -> None:
    """Give the user the first role that the settings assign to one of the user's groups.

    Without such a role, they get no global role. The settings decide, so no permission is checked.
    """
    groups = claims.get(settings.oidc_groups_claim)
    mine = {groups} if isinstance(groups, str) else set(map(str, groups or ()))
    wanted = next(
        (role for group, role in settings.oidc_roles.items() if group in mine), rules.PLAIN_USER
    )
    before = user.role or rules.PLAIN_USER
    if wanted == before:
        return
    exists = wanted == rules.PLAIN_USER or session.scalar(
        select(Role.id).where(Role.name == wanted)
    )
    if not exists or len(wanted) > MAX_GLOBAL_ROLE:
        log.error("AIPLATFORM_OIDC_ROLES names a role that can't be given", role=wanted)
        wanted = rules.PLAIN_USER
        if before == wanted:
            return
    user.role = wanted
    try:
        ensure_administrator_remains(session)
    except LastAdministrator:
        log.warning("the last administrator keeps the role", user=str(user.uuid))
        user.role = before
        session.flush()
        return
    audit.record(
        session,
        actor_for(user, origin),
        AuditAction.USER_UPDATED,
        "user",
        user.uuid,
        before={"role": before},
        after={"role": wanted},
        by="sso",
    )


def _verified_email(claims: dict[str, Any]) -> str | None:
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    fine = re.fullmatch(r"[^@\s\x00-\x1f]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", email)
    return email if fine and len(email) <= 100 else None


def _free_username(session: Session, wanted: object) -> str:
    """Return a free user name that is close to the provider's name for the user.

    Call this while holding the lock of :func:`lock_accounts`.
    """
    plain = nearest_name(str(wanted or "").partition("@")[0], longest=40) or "user"
    if len(plain) < 2 or plain.casefold() in rules.RESERVED_USERNAMES:
        plain = f"user-{plain}"
    name, number = plain, 1
    while session.scalar(select(User.id).where(func.lower(User.username) == name.lower())):
        number += 1
        name = f"{plain}-{number}"
    return name


def _is_ours(redirect_uri: str, settings: Settings) -> bool:
    try:
        found, own = urlsplit(redirect_uri), urlsplit(settings.link_base)
        port, own_port = found.port, own.port
    except ValueError:
        return False
    if found.username or found.password or found.fragment or "\\" in redirect_uri:
        return False
    if found.scheme == "http" and found.hostname in {"127.0.0.1", "::1"} and port:
        return True
    return (found.scheme, found.hostname, port) == (own.scheme, own.hostname, own_port)


def _derive(sign_in_start: SignInStart, what: str) -> str:
    key = f"{sign_in_start.browser}.{sign_in_start.state}".encode()
    return _base64(hmac.digest(key, what.encode(), "sha256"))


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")

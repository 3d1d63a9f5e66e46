"""Replacement of the publicly known default password of ``admin``."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.settings import DEFAULT_ADMIN_PASSWORD, Settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.models import User
from aiplatform.server.identity.service import passwords
from aiplatform.server.identity.service.sessions import end_sessions


def replace_default_password(session: Session, settings: Settings) -> bool:
    """Replace the default password of ``admin`` if the settings specify another one.

    Sessions opened with the default password can do nothing but replace it.

    Returns:
        True if ``admin`` can still sign in with the default password, now or once it is created.
    """
    named = settings.admin_password.get_secret_value()
    user = session.scalar(select(User).where(User.username == rules.ADMIN).with_for_update())
    if user is None:
        # The same decision as at the first start, which creates the account.
        return named == DEFAULT_ADMIN_PASSWORD and not queries.has_administrator(session)
    if user.password_hash == rules.SEED_ADMIN_HASH:  # the first start sets the named password
        return named == DEFAULT_ADMIN_PASSWORD
    if not passwords.verify(DEFAULT_ADMIN_PASSWORD, user.password_hash)[0]:
        return False
    if named == DEFAULT_ADMIN_PASSWORD:
        return user.is_active is not False
    user.password_hash = passwords.hash_password(named)
    weak = passwords.too_weak(named, username=user.username, email=user.email)
    security = queries.security_of(session, user.id)
    security.must_change_password = weak is not None
    security.password_changed_at = func.clock_timestamp()
    end_sessions(session, user.id, "password_changed")
    audit.record(session, audit.SYSTEM, AuditAction.USER_PASSWORD_CHANGED, "user", user.uuid)
    session.flush()
    return False

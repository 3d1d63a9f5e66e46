"""Use cases for accounts and sign-ins."""

from aiplatform.server.identity.service.accounts import bootstrap, create_user, register
from aiplatform.server.identity.service.administration import (
    delete_user,
    end_all_sessions,
    ensure_administrator_remains,
    lock_manageable_user,
    reset_second_factor,
    set_active,
    update_user,
)
from aiplatform.server.identity.service.credential_watcher import (
    CredentialWatcher,
    sessions_changed,
)
from aiplatform.server.identity.service.hooks import (
    ProjectRole,
    on_deactivation,
    on_invitation,
    on_link,
    on_management,
    on_security_event,
    on_user_delete,
)
from aiplatform.server.identity.service.invitations import accept, invite, revoke
from aiplatform.server.identity.service.preferences import read_preferences, update_preferences
from aiplatform.server.identity.service.resets import (
    Link,
    change_email,
    change_password,
    issue_reset,
    request_reset,
    reset_password,
)
from aiplatform.server.identity.service.roles import (
    create_role,
    delete_role,
    role_tag,
    update_role,
)
from aiplatform.server.identity.service.sessions import (
    RenewedTokens,
    SessionTimes,
    SignedIn,
    create_session,
    end_other_sessions,
    end_own_session,
    end_sessions,
    refresh,
    renew_browser_session,
    session_times,
    sign_in,
    sign_out,
)

__all__ = [
    "CredentialWatcher",
    "Link",
    "ProjectRole",
    "RenewedTokens",
    "SessionTimes",
    "SignedIn",
    "accept",
    "bootstrap",
    "change_email",
    "change_password",
    "create_role",
    "create_session",
    "create_user",
    "delete_role",
    "delete_user",
    "end_all_sessions",
    "end_other_sessions",
    "end_own_session",
    "end_sessions",
    "ensure_administrator_remains",
    "invite",
    "issue_reset",
    "lock_manageable_user",
    "on_deactivation",
    "on_invitation",
    "on_link",
    "on_management",
    "on_security_event",
    "on_user_delete",
    "read_preferences",
    "refresh",
    "register",
    "renew_browser_session",
    "request_reset",
    "reset_password",
    "reset_second_factor",
    "revoke",
    "role_tag",
    "session_times",
    "sessions_changed",
    "set_active",
    "sign_in",
    "sign_out",
    "update_preferences",
    "update_role",
    "update_user",
]

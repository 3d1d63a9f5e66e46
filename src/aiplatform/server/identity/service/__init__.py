"""Use cases of accounts and sign-ins."""

from aiplatform.server.identity.service.accounts import bootstrap, change_password, create_user
from aiplatform.server.identity.service.sessions import (
    SignedIn,
    end_sessions,
    refresh,
    sign_in,
    sign_out,
)

__all__ = [
    "SignedIn",
    "bootstrap",
    "change_password",
    "create_user",
    "end_sessions",
    "refresh",
    "sign_in",
    "sign_out",
]

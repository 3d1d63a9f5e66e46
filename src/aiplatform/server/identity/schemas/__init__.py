"""Schemas of requests and answers about accounts, roles, sessions and tokens."""

from aiplatform.server.identity.schemas.accounts import (
    Email,
    EmailIn,
    Password,
    PasswordIn,
    RegisterIn,
    UserChanges,
    UserIn,
    Username,
    render_user,
)
from aiplatform.server.identity.schemas.invitations import AcceptIn, InvitationIn
from aiplatform.server.identity.schemas.roles import PermissionText, RoleIn, RolePatch
from aiplatform.server.identity.schemas.sessions import (
    CodeIn,
    EndedOut,
    EnrolIn,
    ForgotIn,
    ProofIn,
    RecoveryCodesOut,
    ResetIn,
)
from aiplatform.server.identity.schemas.tokens import (
    RefreshIn,
    TokenOut,
)

__all__ = [
    "AcceptIn",
    "CodeIn",
    "Email",
    "EmailIn",
    "EndedOut",
    "EnrolIn",
    "ForgotIn",
    "InvitationIn",
    "Password",
    "PasswordIn",
    "PermissionText",
    "ProofIn",
    "RecoveryCodesOut",
    "RefreshIn",
    "RegisterIn",
    "ResetIn",
    "RoleIn",
    "RolePatch",
    "TokenOut",
    "UserChanges",
    "UserIn",
    "Username",
    "render_user",
]

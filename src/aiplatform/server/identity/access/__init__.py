"""Guards for routes outside projects.

A guard authenticates the caller and checks the permission in one SQL statement. A bearer token is
the access token of a session, or an API key. A key grants only permissions that are in both its
scopes and its owner's current permissions. Not all guards accept keys.

Every route has exactly one guard: :data:`PUBLIC`, a :class:`PlatformGuard`, or a guard of
:mod:`aiplatform.server.projects.access`. A test fails for a route without one.
"""

from aiplatform.server.identity.access.guards import (
    PUBLIC,
    RECORD_KEY_USE,
    BearerToken,
    FirstPassword,
    Guard,
    PlatformGuard,
    Public,
    PublicGuard,
    SessionDep,
    SignedIn,
    SignedInOrKey,
    deny,
    is_public,
    oauth2,
)
from aiplatform.server.identity.access.principals import (
    KeyLimits,
    Principal,
    actor_of,
    add_validity_columns,
    hash_token,
    key_is_valid,
    limit_permissions,
    principal_from,
    principal_statement,
    refresh_principal,
    used_sessions,
    validity_parameters,
)

__all__ = [
    "PUBLIC",
    "RECORD_KEY_USE",
    "BearerToken",
    "FirstPassword",
    "Guard",
    "KeyLimits",
    "PlatformGuard",
    "Principal",
    "Public",
    "PublicGuard",
    "SessionDep",
    "SignedIn",
    "SignedInOrKey",
    "actor_of",
    "add_validity_columns",
    "deny",
    "hash_token",
    "is_public",
    "key_is_valid",
    "limit_permissions",
    "oauth2",
    "principal_from",
    "principal_statement",
    "refresh_principal",
    "used_sessions",
    "validity_parameters",
]

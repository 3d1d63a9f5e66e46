"""Guards for routes outside projects.

A guard authenticates the caller and checks the permission in one SQL statement. A bearer token is
the access token of a session, or an API key. A key grants what both its scopes and its owner's
current permissions allow, and only guards that accept keys let it in.

Every route has exactly one guard: :data:`PUBLIC`, a :class:`PlatformGuard`, or a guard of
:mod:`aiplatform.server.projects.access`. The tests of the routes fail for a route without one.
"""

from aiplatform.server.identity.access.gate import Gate
from aiplatform.server.identity.access.guards import (
    NOTE_USE,
    PUBLIC,
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
    SEEN,
    KeyLimits,
    Principal,
    actor_of,
    add_standing,
    hash_token,
    key_lives,
    limited,
    principal_from,
    principal_statement,
    standing_values,
    still,
)

__all__ = [
    "NOTE_USE",
    "PUBLIC",
    "SEEN",
    "BearerToken",
    "FirstPassword",
    "Gate",
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
    "add_standing",
    "deny",
    "hash_token",
    "is_public",
    "key_lives",
    "limited",
    "oauth2",
    "principal_from",
    "principal_statement",
    "standing_values",
    "still",
]

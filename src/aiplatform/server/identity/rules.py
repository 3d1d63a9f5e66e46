"""Rules for passwords, delays after failed sign-ins, and grants of permissions."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal

from aiplatform.protocol.permissions import WILDCARD
from aiplatform.server.core.errors import Language
from aiplatform.server.core.settings import DEFAULT_ADMIN_PASSWORD

Theme = Literal["light", "dark", "system"]
"""Colours of the web interface; ``system`` follows the device."""

PLAIN_USER = "user"
"""Value of ``users.role`` for accounts without a global role. ``roles`` has no row of this name."""

RESERVED_ROLES = frozenset({PLAIN_USER, "owner"})
"""Names that no role may have. ``user`` means no global role, ``owner`` a project's owner."""

RESERVED_USERNAMES = frozenset({"system", "anonymous", "me"})
"""User names that nobody may have.

``system`` is the actor for the platform's own actions; ``me`` is part of an API path.
"""

ADMIN = "admin"
ADMIN_EMAIL = "admin@ai-platform.com"

SEED_ADMIN_HASH = "$2b$12$LQv3c1yqBWVHxkd0LHAkCOYz6TtxMQJqhN8/X4eVCeM9e1a5t2E3a"
"""Password hash of ``admin`` in the schema contract's SQL. No known password matches it."""

NO_PASSWORD = "!"  # noqa: S105
"""Text stored instead of a password hash for single sign-on accounts. No password matches it."""

MIN_PASSWORD = 8
MAX_PASSWORD = 256
"""Maximum length of a password in characters. Longer ones would only make hashing expensive."""
STRENGTH_PREFIX = 72
"""Number of a password's first characters whose strength is estimated."""

REPLAY_GRACE = timedelta(seconds=10)
"""Time within which a used refresh token may be presented again.

A client does this when the response with the new token was lost.
"""

FAILURE_WINDOW = timedelta(minutes=15)
FREE_FAILURES = 5
"""Failed sign-ins for an account from an address before the next attempt is delayed."""
FREE_FAILURES_ANYWHERE = 50
"""Failed sign-ins for an account from all addresses before the next attempt is delayed.

The number is higher than :data:`FREE_FAILURES`, because otherwise anyone could lock out anyone.
Each network from which the account has signed in has its own count, so failures
from elsewhere do not keep the account's holder from signing in there.
"""
FREE_FAILURES_ADDRESS = 100
"""Failed sign-ins from an address for all accounts before the next attempt is delayed.

The number is higher than :data:`FREE_FAILURES` because everyone in an office may share one address.
"""

RESET_PAUSE = timedelta(minutes=5)
"""Minimum time between two reset links that users request for the same account."""
RECOVERY_CODES = 10
MAX_WAIT = timedelta(minutes=1)


def weakness(
    password: str,
    *,
    username: str,
    email: str = "",
    current: str | None = None,
    min_score: int = 3,
) -> dict[Language, str] | None:
    """Return why ``password`` is refused, in both languages, or None if it may be used.

    Args:
        password: the new password.
        username: the account's user name, which makes a password that contains it weaker.
        email: the account's address, which makes a password that contains it weaker.
        current: the password that it replaces.
        min_score: required zxcvbn score, an estimate of the guesses that an attacker needs; 3 means
            at least about 10^8. Rules about character classes would not measure this.
    """
    if len(password) < MIN_PASSWORD:
        return {
            "en": f"Choose a password of at least {MIN_PASSWORD} characters.",
            "zh": f"密码至少需要 {MIN_PASSWORD} 个字符。",
        }
    if len(password) > MAX_PASSWORD:
        return {
            "en": f"Choose a password of at most {MAX_PASSWORD} characters.",
            "zh": f"密码最多 {MAX_PASSWORD} 个字符。",
        }
    if current is not None and password == current:
        return {
            "en": "The new password is the current one. Choose another.",
            "zh": "新密码与当前密码相同，请换一个。",
        }
    # Imported here because its word lists need memory, and most processes never check a password.
    from zxcvbn import zxcvbn  # noqa: PLC0415

    known = [username, email, *email.split("@"), "aiplatform", "ai-platform"]
    # Further characters make a password no weaker, but the library's run time grows with their
    # square.
    found = zxcvbn(password[:STRENGTH_PREFIX], user_inputs=[word for word in known if word])
    if password != DEFAULT_ADMIN_PASSWORD and found["score"] >= min_score:
        return None
    warning = found["feedback"]["warning"]
    return {
        "en": "This password is too easily guessed. " + (warning or "Add a word or two."),
        "zh": "该密码太容易被猜中，请再增加一两个不常见的词。",
    }


def wait_after(failures: int, *, free: int) -> timedelta:
    """Return how long the next attempt must wait after the last of ``failures`` wrong passwords.

    There is no wait for fewer than ``free`` failures. After that, the wait is 1, 2, 4 … seconds, at
    most :data:`MAX_WAIT`.
    """
    if failures < free:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(failures - free, 10)), MAX_WAIT)


def missing_permissions(held: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Return the permissions in ``wanted`` that a holder of ``held`` does not have.

    Nobody can grant a permission that they lack. Only ``*`` covers ``*``, and only ``*`` or
    ``resource:*`` covers ``resource:*``.
    """
    mine = frozenset(held)
    if WILDCARD in mine:
        return []
    return sorted(
        permission
        for permission in set(wanted)
        if permission not in mine and f"{permission.partition(':')[0]}:{WILDCARD}" not in mine
    )

"""Passwords, delays and grants, as plain functions."""

from collections.abc import Iterable
from datetime import timedelta

from aiplatform.protocol.permissions import WILDCARD
from aiplatform.server.core.errors import Language
from aiplatform.server.core.settings import DEFAULT_ADMIN_PASSWORD

PLAIN_USER = "user"
"""The global role of those who have none: it is no row of ``roles`` and reserved."""

RESERVED_USERNAMES = frozenset({"system", "anonymous", "me"})
"""``system`` signs what the platform does by itself, ``me`` is an address."""

ADMIN = "admin"
ADMIN_EMAIL = "admin@ai-platform.com"

SEED_ADMIN_HASH = "$2b$12$LQv3c1yqBWVHxkd0LHAkCOYz6TtxMQJqhN8/X4eVCeM9e1a5t2E3a"
"""What the contract's own SQL gives ``admin``. It verifies no password that anybody knows."""

MIN_PASSWORD = 8
MAX_PASSWORD = 256
"""Characters. More would only make hashing dear."""

REPLAY_GRACE = timedelta(seconds=10)
"""How long a used refresh token may be shown again by a client that lost the answer."""

FAILURE_WINDOW = timedelta(minutes=15)
FREE_FAILURES = 5
"""Wrong passwords for one account from one address before the next attempt must wait."""
FREE_FAILURES_ANYWHERE = 50
"""The same from all addresses together. Higher, or anybody could lock anybody out."""
MAX_WAIT = timedelta(minutes=1)

_COMMON = frozenset(
    {
        DEFAULT_ADMIN_PASSWORD, "12345678", "123456789", "1234567890", "11111111", "00000000",
        "88888888", "password", "password1", "password123", "passw0rd", "qwertyui", "qwerty123",
        "1q2w3e4r", "abcd1234", "a1234567", "admin1234", "adminadmin", "letmein1", "iloveyou",
        "woaini1314", "welcome1", "changeme", "aiplatform", "ai-platform",
    }
)  # fmt: skip


def weakness(
    password: str, *, username: str, email: str = "", current: str | None = None
) -> dict[Language, str] | None:
    """Why ``password`` is refused, in both languages; None when it may be used.

    ``current`` is the password that it replaces.
    """
    folded = password.casefold()
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
    if folded in _COMMON or len(set(folded)) < 3:
        return {
            "en": "This password is among the first that anybody would guess. Choose another.",
            "zh": "该密码过于常见，容易被猜中，请换一个。",
        }
    if folded in {username.casefold(), username.casefold()[::-1], email.casefold()}:
        return {
            "en": "The password must not be the account's own name or address.",
            "zh": "密码不能与用户名或邮箱相同。",
        }
    return None


def wait_after(failures: int, *, free: int) -> timedelta:
    """How long after the last of ``failures`` wrong passwords the next may be tried.

    Nothing within the ``free`` ones, then 1, 2, 4 … seconds, at most :data:`MAX_WAIT`.
    """
    if failures < free:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(failures - free, 10)), MAX_WAIT)


def lacking(held: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """What of ``wanted`` somebody who holds ``held`` can't give away: nobody grants what they lack.

    Only ``*`` covers ``*``, and only ``*`` or ``resource:*`` covers ``resource:*``.
    """
    mine = frozenset(held)
    if WILDCARD in mine:
        return []
    return sorted(
        permission
        for permission in set(wanted)
        if permission not in mine and f"{permission.partition(':')[0]}:{WILDCARD}" not in mine
    )

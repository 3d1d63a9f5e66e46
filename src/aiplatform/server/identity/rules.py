"""Passwords, delays and grants, as plain functions."""

from collections.abc import Iterable
from datetime import timedelta

from aiplatform.protocol.permissions import WILDCARD
from aiplatform.server.core.errors import Language
from aiplatform.server.core.settings import DEFAULT_ADMIN_PASSWORD

PLAIN_USER = "user"
"""The global role of those who have none: it is no row of ``roles`` and reserved."""

RESERVED_ROLES = frozenset({PLAIN_USER, "owner"})
"""Names of what is no row: the role of those who have none, and the owner of a project."""

RESERVED_USERNAMES = frozenset({"system", "anonymous", "me"})
"""``system`` signs what the platform does by itself, ``me`` is an address."""

ADMIN = "admin"
ADMIN_EMAIL = "admin@ai-platform.com"

SEED_ADMIN_HASH = "$2b$12$LQv3c1yqBWVHxkd0LHAkCOYz6TtxMQJqhN8/X4eVCeM9e1a5t2E3a"
"""What the contract's own SQL gives ``admin``. It verifies no password that anybody knows."""

NO_PASSWORD = "!"  # noqa: S105
"""In place of a hash, for accounts of single sign-on: no password verifies against it."""

MIN_PASSWORD = 8
MAX_PASSWORD = 256
"""Characters. More would only make hashing dear."""
ESTIMATED = 72
"""Characters whose strength is estimated."""

REPLAY_GRACE = timedelta(seconds=10)
"""How long a used refresh token may be shown again by a client that lost the answer."""

FAILURE_WINDOW = timedelta(minutes=15)
FREE_FAILURES = 5
"""Wrong passwords for one account from one address before the next attempt must wait."""
FREE_FAILURES_ANYWHERE = 50
"""The same from all addresses together. Higher, or anybody could lock anybody out.

Networks from which the account has signed in have this many each: their holder can sign in there,
whatever strangers try elsewhere.
"""
FREE_FAILURES_ADDRESS = 100
"""Failures from one address over all accounts. Higher, since an office shares its address."""

RESET_PAUSE = timedelta(minutes=5)
"""Between two messages that strangers can have sent to an account's address."""
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
    """Why ``password`` is refused, in both languages; None when it may be used.

    ``current`` is the password that it replaces; ``min_score`` is of zxcvbn, which estimates how
    many guesses it takes: 3 means about 10^8 at least. Rules of composition are no measure of that.
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
    # Its word lists take memory that a process which never sets a password need not give.
    from zxcvbn import zxcvbn  # noqa: PLC0415

    known = [username, email, *email.split("@"), "aiplatform", "ai-platform"]
    # What comes after makes it no weaker, and the library's time grows with the square.
    found = zxcvbn(password[:ESTIMATED], user_inputs=[word for word in known if word])
    if password != DEFAULT_ADMIN_PASSWORD and found["score"] >= min_score:
        return None
    warning = found["feedback"]["warning"]
    return {
        "en": "This password is too easily guessed. " + (warning or "Add a word or two."),
        "zh": "该密码太容易被猜中，请再增加一两个不常见的词。",
    }


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

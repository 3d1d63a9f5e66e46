"""Argon2id password hashes. Old bcrypt hashes are accepted and replaced at the next sign-in."""

import os
import threading
from functools import cache

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.errors import WeakPassword
from aiplatform.server.identity.rules import MAX_PASSWORD, weakness

# The minimum that OWASP recommends for Argon2id: 19 MiB, two passes, one lane.
_passwords = PasswordHash(
    (Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1), BcryptHasher())
)

_hashing_slots = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
"""Semaphore that limits concurrent hashing, because each hash takes 19 MiB and a CPU core."""


def too_weak(
    password: str, *, username: str, email: str, current: str | None = None
) -> WeakPassword | None:
    """Return an error if the password may not be set; see :func:`rules.weakness`."""
    reason = weakness(
        password,
        username=username,
        email=email,
        current=current,
        min_score=get_settings().password_min_score,
    )
    return None if reason is None else WeakPassword(reason=reason["en"], reason_zh=reason["zh"])


def hash_password(password: str) -> str:
    """Return an Argon2id hash with a new salt."""
    with _hashing_slots:
        return _passwords.hash(password)


def verify(password: str, password_hash: str | None) -> tuple[bool, str | None]:
    """Return True if the password matches, and a new hash to store instead of an outdated one.

    The new hash is None if the old one is up to date. For an unknown account, ``password_hash`` is
    None; the check then takes as long as usual and always fails.
    """
    known = password_hash if password_hash is not None else _dummy_hash()
    # bcrypt reads only 72 bytes, and the library now refuses more. Older hashes of longer passwords
    # must still verify.
    legacy = known.startswith("$2")
    shown: str | bytes = password.encode("utf-8", "replace")[:72] if legacy else password
    if len(password) > MAX_PASSWORD:
        shown, password_hash = "", None
    with _hashing_slots:
        try:
            good = _passwords.verify(shown, known)
        except (UnknownHashError, ValueError):  # not a hash, for example in single sign-on accounts
            good = False
        if not good or password_hash is None:
            return False, None
        stale = legacy or _passwords.current_hasher.check_needs_rehash(known)
        return True, _passwords.hash(password) if stale else None


@cache
def _dummy_hash() -> str:
    return _passwords.hash(os.urandom(16).hex())

"""Tests of password hashes."""

import bcrypt
import pytest

from aiplatform.server.identity.rules import SEED_ADMIN_HASH
from aiplatform.server.identity.service.passwords import hash_password, verify


def test_hash_is_salted_argon2id_and_verifies() -> None:
    first, second = hash_password("correct horse"), hash_password("correct horse")
    assert first.startswith("$argon2id$")
    assert first != second
    assert verify("correct horse", first) == (True, None)
    assert verify("correct horsf", first) == (False, None)


@pytest.mark.parametrize("password", ["admin password", "密" * 40, "x" * 72 + "tail", "a\x00b"])
def test_bcrypt_hash_verifies_and_is_replaced(password: str) -> None:
    legacy = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    good, fresh = verify(password, legacy)
    assert good
    assert fresh is not None
    assert fresh.startswith("$argon2id$")
    # The new hash covers the whole password, not only the 72 bytes that bcrypt reads.
    assert verify(password, fresh) == (True, None)
    assert not verify(password.encode()[:72].decode("utf-8", "ignore") + "?", fresh)[0]
    assert verify("another one", legacy) == (False, None)


def test_argon2_hash_with_old_cost_is_replaced() -> None:
    from pwdlib.hashers.argon2 import Argon2Hasher

    cheap = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")
    good, fresh = verify("correct horse", cheap)
    assert good
    assert fresh is not None
    assert verify("correct horse", fresh) == (True, None)


@pytest.mark.parametrize("stored", ["", "plain text", "$2b$12$short", "$argon2id$garbage", None])
@pytest.mark.parametrize("password", ["", "plain text", "\ud800", "x" * 100_000])
def test_invalid_hash_verifies_nothing(stored: str | None, password: str) -> None:
    assert verify(password, stored) == (False, None)


@pytest.mark.parametrize("password", ["admin123", "admin", "password", ""])
def test_hash_of_the_contract_matches_no_known_password(password: str) -> None:
    assert verify(password, SEED_ADMIN_HASH) == (False, None)

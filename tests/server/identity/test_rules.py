"""Tests of the rules for passwords, delays after failed sign-ins, and grants of permissions."""

from datetime import timedelta

import pytest

from aiplatform.protocol.permissions import Permission
from aiplatform.server.identity.rules import (
    MAX_WAIT,
    SEED_ADMIN_HASH,
    missing_permissions,
    wait_after,
    weakness,
)
from tests.server.seed import DATA


@pytest.mark.parametrize(
    "password",
    [
        "short12", "admin123", "ADMIN123", "password", "aaaaaaaa", "abababab",
        "qwerty12345", "Passw0rd!", "woaini1314", "20261124", "lin-account",
        "lin@example.com", "tnuocca-nil", "the current one", "x" * 257,
    ],
)  # fmt: skip
def test_weak_passwords_are_refused_in_both_languages(password: str) -> None:
    reason = weakness(
        password, username="lin-account", email="lin@example.com", current="the current one"
    )
    assert reason is not None
    assert reason["en"].isascii()
    assert not reason["zh"].isascii()


@pytest.mark.parametrize("password", ["correct horse", "密码是一句很长的话", "Tr0ub4dor&3"])
def test_strong_passwords_are_accepted(password: str) -> None:
    assert weakness(password, username="lin", email="lin@example.com", current="old one 1") is None


def test_minimum_score_is_a_setting() -> None:
    def refused(score: int) -> bool:
        return weakness("sunflower9", username="lin", min_score=score) is not None

    assert [refused(score) for score in range(5)] == sorted(refused(score) for score in range(5))
    assert (refused(0), refused(4)) == (False, True)
    # The default password is always weak.
    assert weakness("admin123", username="lin", min_score=0) is not None


def test_wait_grows_up_to_a_limit() -> None:
    waits = [wait_after(failures, free=5) for failures in range(30)]
    assert waits[:5] == [timedelta(0)] * 5
    assert waits[5:8] == [timedelta(seconds=s) for s in (1, 2, 4)]
    assert waits == sorted(waits)
    assert waits[-1] == MAX_WAIT


@pytest.mark.parametrize(
    ("held", "wanted", "missing"),
    [
        ({"*"}, ["*", "users:*", "tasks:read"], []),
        ({"tasks:*"}, ["tasks:read", "tasks:*"], []),
        ({"tasks:read"}, ["tasks:read"], []),
        ({"tasks:read"}, ["tasks:write"], ["tasks:write"]),
        # Permissions for all current actions do not cover actions added later.
        ({"tasks:read", "tasks:write"}, ["tasks:*"], ["tasks:*"]),
        ({str(p) for p in Permission}, ["*"], ["*"]),
        (set(), ["*"], ["*"]),
        (set(), [], []),
    ],
)
def test_lacking_returns_permissions_that_are_not_held(
    held: set[str], wanted: list[str], missing: list[str]
) -> None:
    assert missing_permissions(held, wanted) == missing


def test_hash_of_the_contract_admin_is_the_known_one() -> None:
    assert SEED_ADMIN_HASH in DATA

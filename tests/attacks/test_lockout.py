"""Attack: a stranger tries wrong passwords from many addresses to lock out an account's owner.

A few failures from each of many addresses exceed the account's limit, which counts all addresses.
After that, even the right password gets a 429, except from a network from which the owner has
signed in before.
"""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.server.identity import rules
from aiplatform.server.identity.models import User
from tests.factories import make_user, number
from tests.openapi_checks import CheckedClient
from tests.server.identity.conftest import sign_in

ADDRESSES = 34
OFFICE = "203.0.113.20"
OFFICE_TOMORROW = "203.0.113.99"

pytestmark = pytest.mark.usefixtures("client")


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the account's limit on failed sign-ins, and make the wait longer than any test."""
    monkeypatch.setattr(rules, "FREE_FAILURES_ANYWHERE", 12)
    monkeypatch.setattr(
        rules, "wait_after", lambda failures, free: timedelta(hours=failures >= free)
    )


@pytest.fixture
def holder(session: Session) -> User:
    return make_user(session)


def at(app: Any, address: str) -> CheckedClient:
    return CheckedClient(app, base_url="http://127.0.0.1", client=(address, 1))


def attack(app: Any, username: str, network: str = "198.51.100") -> list[int]:
    """Try two wrong passwords from each of many addresses; return the status codes."""
    statuses = []
    for part in range(ADDRESSES):
        client = at(app, f"{network}.{part}")
        statuses += [sign_in(client, username, "wrong one").status_code for _ in range(2)]
    return statuses


def test_wrong_passwords_from_many_addresses_do_not_lock_out_the_owner(
    app: Any, holder: User
) -> None:
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    statuses = attack(app, holder.username)
    assert statuses.count(401) == rules.FREE_FAILURES_ANYWHERE
    assert statuses[-1] == 429
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    assert sign_in(at(app, OFFICE_TOMORROW), holder.username).status_code == 200


def test_sign_in_of_owner_gives_attacker_no_further_attempts(app: Any, holder: User) -> None:
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    attack(app, holder.username)
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    assert sign_in(at(app, "192.0.2.50"), holder.username, "wrong one").status_code == 429


def test_wrong_passwords_from_known_network_are_limited(app: Any, holder: User) -> None:
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    statuses = attack(app, holder.username, network="203.0.113")
    assert statuses.count(401) == rules.FREE_FAILURES_ANYWHERE
    assert sign_in(at(app, OFFICE), holder.username).status_code == 429


def test_address_in_known_network_waits_after_its_own_failures(app: Any, holder: User) -> None:
    office = at(app, OFFICE)
    assert sign_in(office, holder.username).status_code == 200
    for _ in range(rules.FREE_FAILURES):
        assert sign_in(office, holder.username, "wrong one").status_code == 401
    assert sign_in(office, holder.username).status_code == 429


def test_attack_does_not_reveal_whether_the_account_exists(app: Any, holder: User) -> None:
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    known = attack(app, holder.username)
    unknown = attack(app, f"nobody{number()}", network="198.51.101")
    assert known == unknown


def test_network_of_another_user_is_not_a_known_network(
    app: Any, session: Session, holder: User
) -> None:
    assert sign_in(at(app, OFFICE), make_user(session).username).status_code == 200
    attack(app, holder.username)
    assert sign_in(at(app, OFFICE), holder.username).status_code == 429

"""Attack: a stranger tries wrong passwords from many addresses, so that the holder can't sign in.

The limit for an account from everywhere is reached with a few failures from each of many addresses;
after that even the right password is answered with 429.
"""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.server.identity import rules
from aiplatform.server.identity.models import User
from tests.described import CheckedClient
from tests.factories import make_user, number
from tests.server.identity.conftest import sign_in

ADDRESSES = 34
OFFICE = "203.0.113.20"
OFFICE_TOMORROW = "203.0.113.99"

pytestmark = pytest.mark.usefixtures("client")


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer attempts, and waits that don't end during the test."""
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
    """Two wrong passwords from each of many addresses. Returns the statuses."""
    statuses = []
    for part in range(ADDRESSES):
        client = at(app, f"{network}.{part}")
        statuses += [sign_in(client, username, "wrong one").status_code for _ in range(2)]
    return statuses


def test_wrong_passwords_from_many_addresses_do_not_lock_the_holder_out(
    app: Any, holder: User
) -> None:
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    statuses = attack(app, holder.username)
    assert statuses.count(401) == rules.FREE_FAILURES_ANYWHERE
    assert statuses[-1] == 429
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    assert sign_in(at(app, OFFICE_TOMORROW), holder.username).status_code == 200


def test_the_holders_sign_in_gives_the_attacker_no_further_attempts(app: Any, holder: User) -> None:
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    attack(app, holder.username)
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    assert sign_in(at(app, "192.0.2.50"), holder.username, "wrong one").status_code == 429


def test_known_networks_have_a_limit_too(app: Any, holder: User) -> None:
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    statuses = attack(app, holder.username, network="203.0.113")
    assert statuses.count(401) == rules.FREE_FAILURES_ANYWHERE
    assert sign_in(at(app, OFFICE), holder.username).status_code == 429


def test_one_address_in_a_known_network_waits_after_its_own_failures(
    app: Any, holder: User
) -> None:
    office = at(app, OFFICE)
    assert sign_in(office, holder.username).status_code == 200
    for _ in range(rules.FREE_FAILURES):
        assert sign_in(office, holder.username, "wrong one").status_code == 401
    assert sign_in(office, holder.username).status_code == 429


def test_an_attacker_can_not_tell_whether_the_account_exists(app: Any, holder: User) -> None:
    assert sign_in(at(app, OFFICE), holder.username).status_code == 200
    known = attack(app, holder.username)
    unknown = attack(app, f"nobody{number()}", network="198.51.101")
    assert known == unknown


def test_a_network_of_somebody_else_is_not_known_to_the_account(
    app: Any, session: Session, holder: User
) -> None:
    assert sign_in(at(app, OFFICE), make_user(session).username).status_code == 200
    attack(app, holder.username)
    assert sign_in(at(app, OFFICE), holder.username).status_code == 429

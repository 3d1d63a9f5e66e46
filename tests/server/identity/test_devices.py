"""Tests of notifications about sign-ins from new devices."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import Actor
from aiplatform.server.identity.models import User, UserDevice
from aiplatform.server.identity.service import hooks
from aiplatform.server.identity.service.sessions import (
    DEVICE_LIFETIME,
    device_of,
    notify_new_device,
)
from tests.factories import make_user

Told = Callable[[str], bool]


@pytest.fixture
def user(session: Session) -> User:
    return make_user(session)


@pytest.fixture
def told(session: Session, user: User, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Return a function that signs in and returns True if the user is notified of a new device."""
    heard: list[str] = []
    monkeypatch.setattr(
        hooks, "announce_security_event", lambda *_, agent, **__: heard.append(agent)
    )

    def sign_in(agent: str) -> bool:
        heard.clear()
        notify_new_device(session, user, Actor(ip_address="192.0.2.7", user_agent=agent))
        return heard == [agent]

    return sign_in


def test_new_device_is_reported_but_not_the_first_one(told: Told) -> None:
    heard = [told(agent) for agent in ("a", "a", "b", "b", "a")]
    assert heard == [False, False, True, False, False]


def test_device_unused_for_long_is_forgotten_and_reported_again(
    session: Session, user: User, told: Told
) -> None:
    told("a")
    told("b")
    old = func.clock_timestamp() - DEVICE_LIFETIME - timedelta(days=1)
    mine = UserDevice.user_id == user.id
    session.execute(update(UserDevice).where(mine).values(seen_at=old))
    assert not told("b")  # it is still known, and now used again
    assert told("c")
    left = session.scalars(select(UserDevice.device).where(mine)).all()
    seen = {device_of(Actor(ip_address="192.0.2.7", user_agent=agent)) for agent in "bc"}
    assert set(left) == seen
    session.execute(update(UserDevice).where(mine).values(seen_at=old))
    assert told("d")  # reported, although all earlier devices are old
    assert session.scalars(select(func.count()).where(mine)).one() == 1

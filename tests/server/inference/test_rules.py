"""The state machine of deployments, and their back-off."""

from datetime import timedelta

import pytest

from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.server.inference.rules import (
    DOWN,
    MAX_CRASHES,
    MAX_DELAY,
    TRANSITIONS,
    may_become,
    restart_delay,
)

S = DeploymentStatus


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(S)


@pytest.mark.parametrize("down", sorted(DOWN))
def test_what_is_down_only_starts(down: DeploymentStatus) -> None:
    assert TRANSITIONS[down] == {S.STARTING}


def test_what_stops_is_never_ready_again() -> None:
    assert not may_become(S.STOPPING, S.READY)
    assert not may_become(S.STOPPED, S.READY)


def test_every_state_leads_down() -> None:
    for state in set(S) - DOWN:
        assert TRANSITIONS[state] & DOWN


def test_delays_double_and_end() -> None:
    delays = [restart_delay(crashes) for crashes in range(1, MAX_CRASHES + 2)]
    assert delays == [timedelta(seconds=s) for s in (1, 2, 4, 8)] + [None, None]


def test_delays_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform.server.inference.rules.MAX_CRASHES", 50)
    assert restart_delay(40) == MAX_DELAY

"""Tests of the states of deployments and the delays before restarts."""

from datetime import timedelta

import pytest

from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.server.inference.rules import (
    INACTIVE,
    MAX_CRASHES,
    MAX_DELAY,
    TRANSITIONS,
    may_become,
    restart_delay,
)

S = DeploymentStatus


def test_every_state_has_transitions() -> None:
    assert set(TRANSITIONS) == set(S)


@pytest.mark.parametrize("down", sorted(INACTIVE))
def test_state_in_which_nothing_runs_can_only_start(down: DeploymentStatus) -> None:
    assert TRANSITIONS[down] == {S.STARTING}


def test_stopping_deployment_never_becomes_ready() -> None:
    assert not may_become(S.STOPPING, S.READY)
    assert not may_become(S.STOPPED, S.READY)


def test_every_state_can_end() -> None:
    for state in set(S) - INACTIVE:
        assert TRANSITIONS[state] & INACTIVE


def test_restart_delay_doubles_and_ends() -> None:
    delays = [restart_delay(crashes) for crashes in range(1, MAX_CRASHES + 2)]
    assert delays == [timedelta(seconds=s) for s in (1, 2, 4, 8)] + [None, None]


def test_restart_delay_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform.server.inference.rules.MAX_CRASHES", 50)
    assert restart_delay(40) == MAX_DELAY

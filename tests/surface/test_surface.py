"""Tests that call every public method of the SDK and every command against a real platform.

``aiplatform up`` starts the platform: PostgreSQL, Valkey, API, worker. Each scenario declares the
methods and commands that it calls. The tests fail if

- no scenario declares a method or command,
- a scenario declares something that does not exist,
- a scenario does not successfully call a method or command that it declares.

No method or command is exempt.
"""

import inspect
from collections.abc import Iterator

import pytest

from tests.surface import scenarios
from tests.surface.live_platform import LAST, SCENARIOS, LivePlatform, start_platform
from tests.surface.recorder import commands, sdk_methods
from tests.surface.tally import SURFACE

assert scenarios.__all__, "importing the scenarios registers them"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlatform]:
    """Start the platform that all scenarios share."""
    with start_platform(tmp_path_factory.mktemp("surface")) as live:
        yield live


def declared() -> set[str]:
    """Return the methods and commands that all scenarios together declare."""
    return set().union(*(calls for _, calls in SCENARIOS.values()))


def test_scenarios_declare_every_public_method_and_command() -> None:
    existing = sdk_methods() | commands()
    assert not sorted(existing - declared()), "no scenario calls these"
    assert not sorted(declared() - existing), "scenarios declare what does not exist"


def test_every_scenario_has_assertions() -> None:
    silent = [
        name for name, (run, _) in SCENARIOS.items() if "assert " not in inspect.getsource(run)
    ]
    assert not silent


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(SCENARIOS, key=LAST.__contains__))
def test_scenario_calls_everything_it_declares(name: str, live: LivePlatform) -> None:
    run, calls = SCENARIOS[name]
    recorder = live.recorder
    recorder.called.clear()
    run(live)
    assert not calls - recorder.called, "the scenario declares these and did not call them"
    methods, known = sdk_methods(), commands()
    SURFACE.all_methods, SURFACE.all_commands = len(methods), len(known)
    SURFACE.methods |= recorder.called & methods
    SURFACE.commands |= recorder.called & known

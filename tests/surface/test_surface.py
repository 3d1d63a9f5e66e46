"""Tests that call every public method of the SDK and every command against a real platform.

``aiplatform up`` starts the platform: PostgreSQL, Valkey, API, worker. Each scene declares the
methods and commands that it calls. The tests fail if

- no scene declares a method or command,
- a scene declares something that does not exist,
- a scene did not call successfully what it declares.

There are no exceptions.
"""

import inspect
from collections.abc import Iterator

import pytest

from tests.surface import scenes
from tests.surface.recorder import commands, sdk_methods
from tests.surface.stage import LAST, SCENES, Stage, open_stage
from tests.surface.tally import SURFACE

assert scenes.__all__, "importing the scenes registers them"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Start the platform that all scenes share."""
    with open_stage(tmp_path_factory.mktemp("surface")) as stage:
        yield stage


def declared() -> set[str]:
    """Return the methods and commands that all scenes together declare."""
    return set().union(*(calls for _, calls in SCENES.values()))


def test_scenes_declare_every_public_method_and_command() -> None:
    existing = sdk_methods() | commands()
    assert not sorted(existing - declared()), "no scene calls these"
    assert not sorted(declared() - existing), "scenes declare what does not exist"


def test_every_scene_has_assertions() -> None:
    silent = [name for name, (run, _) in SCENES.items() if "assert " not in inspect.getsource(run)]
    assert not silent


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(SCENES, key=LAST.__contains__))
def test_scene_calls_everything_it_declares(name: str, stage: Stage) -> None:
    run, calls = SCENES[name]
    recorder = stage.recorder
    recorder.called.clear()
    run(stage)
    assert not calls - recorder.called, "the scene declares these and did not call them"
    methods, known = sdk_methods(), commands()
    SURFACE.all_methods, SURFACE.all_commands = len(methods), len(known)
    SURFACE.methods |= recorder.called & methods
    SURFACE.commands |= recorder.called & known

"""Every public method of the SDK and every command is called against a real platform.

The platform is one that ``aiplatform up`` starts: PostgreSQL, Valkey, API, worker. Each scene
declares what it is there to call. A method or a command that no scene declares fails the tests by
its name; so does a declaration that names nothing, or something that the scene did not call with
success. No method and no command is exempt.
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
    """The platform of all scenes."""
    with open_stage(tmp_path_factory.mktemp("surface")) as stage:
        yield stage


def declared() -> set[str]:
    """Return what all scenes together call."""
    return set().union(*(calls for _, calls in SCENES.values()))


def test_every_public_method_and_command_has_a_scene() -> None:
    existing = sdk_methods() | commands()
    assert not sorted(existing - declared()), "no scene calls these"
    assert not sorted(declared() - existing), "scenes declare what does not exist"


def test_every_scene_asserts_what_its_calls_have_done() -> None:
    silent = [name for name, (run, _) in SCENES.items() if "assert " not in inspect.getsource(run)]
    assert not silent


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(SCENES, key=LAST.__contains__))
def test_scene_calls_what_it_declares_with_success(name: str, stage: Stage) -> None:
    run, calls = SCENES[name]
    recorder = stage.recorder
    recorder.called.clear()
    run(stage)
    assert not calls - recorder.called, "the scene declares these and did not call them"
    methods, known = sdk_methods(), commands()
    SURFACE.all_methods, SURFACE.all_commands = len(methods), len(known)
    SURFACE.methods |= recorder.called & methods
    SURFACE.commands |= recorder.called & known

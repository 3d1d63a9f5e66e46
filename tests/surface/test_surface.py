"""Every public method of the SDK and every command is called against a real platform.

The platform is one that ``aiplatform up`` starts: PostgreSQL, Valkey, API, worker. Each scene
declares what it is there to call. A method or a command that no scene declares fails the tests,
unless it is listed in ``uncalled``; so does a declaration that names nothing, or something that the
scene did not call with success.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import running_platform
from tests.server.identity.lying_provider import ME, LyingProvider
from tests.surface import scenes
from tests.surface.recorder import Recorder, commands, sdk_methods
from tests.surface.stage import LAST, SCENES, Stage
from tests.surface.tally import SURFACE
from tests.surface.uncalled import NOT_CALLED_YET

assert scenes.__all__, "importing the scenes registers them"


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    """Notes every call of the SDK for as long as the scenes last."""
    recorder = Recorder()
    with recorder.watching():
        yield recorder


@pytest.fixture(scope="module")
def stage(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The platform of all scenes."""
    settings = {
        "AIPLATFORM_SCRIPTS": "true",
        "AIPLATFORM_SELF_REGISTRATION": "true",
        "AIPLATFORM_OUTGOING_NETWORKS": "127.0.0.0/8",
        **{
            f"AIPLATFORM_RATE_LIMIT_{of}": "off"
            for of in ("LOGIN", "ANONYMOUS", "NORMAL", "INGEST")
        },
    }
    provider = LyingProvider()
    settings |= {
        "AIPLATFORM_OIDC_ISSUER": provider.issuer,
        "AIPLATFORM_OIDC_CLIENT_ID": ME,
        "AIPLATFORM_OIDC_CLIENT_SECRET": "secret",
    }
    try:
        with running_platform(**settings) as platform:
            yield Stage(platform, recorder, tmp_path_factory.mktemp("surface"), provider)
    finally:
        provider.server.shutdown()
        provider.server.server_close()


def declared() -> set[str]:
    """Return what all scenes together call."""
    return set().union(*(calls for _, calls in SCENES.values()))


def test_every_public_method_and_command_has_a_scene() -> None:
    existing = sdk_methods() | commands()
    assert not existing - declared() - NOT_CALLED_YET, "no scene calls these"
    assert not declared() - existing, "scenes declare what does not exist"
    assert not NOT_CALLED_YET - existing, "these are listed as not called, and do not exist"
    assert not NOT_CALLED_YET & declared(), "scenes call these by now: take them off the list"


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

"""Fixture for tests whose SDK and CLI calls are not counted."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import running_platform
from tests.server.identity.fake_provider import FakeProvider
from tests.surface.live_platform import LivePlatform
from tests.surface.recorder import Recorder


@pytest.fixture(scope="module")
def unrecorded_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlatform]:
    """Start a platform for the module; SDK and CLI calls are not counted."""
    limits = {f"AIPLATFORM_RATE_LIMIT_{of}": "off" for of in ("LOGIN", "ANONYMOUS", "NORMAL")}
    provider = FakeProvider()
    try:
        with running_platform(**limits, AIPLATFORM_SCRIPTS="true") as platform:
            yield LivePlatform(platform, Recorder(), tmp_path_factory.mktemp("quiet"), provider)
    finally:
        provider.server.shutdown()
        provider.server.server_close()

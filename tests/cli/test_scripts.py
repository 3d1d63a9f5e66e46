"""Tests of ``aiplatform scripts`` and ``aiplatform tasks artifacts``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import D, M, P, Ran, T, posted
from tests.client.fake import FakeServer, answer, page, sse
from tests.openapi_checks import Partial

Run = Callable[..., Ran]
B = "00000000-0000-4000-8000-0000000000b0"
BUNDLE = Partial({"uuid": B, "name": "code", "sha256": "0" * 64, "size": 300, "files": 1,
          "unpacked_bytes": 9, "source": {"commit": "1f0c2a9d11"}})  # fmt: skip
TASK = Partial(
    {"uuid": T, "name": "python main.py", "type": "script", "status": "pending", "project": P}
)


@pytest.fixture
def scripts(world: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    world.on(f"POST projects/{P}/bundles", answer(BUNDLE, 201))
    world.on(f"POST projects/{P}/tasks", answer(TASK, 202))
    world.on(f"GET tasks/{T}", answer(TASK))
    (tmp_path / "work").mkdir()
    (tmp_path / "work/main.py").write_text("print(1)\n")
    monkeypatch.chdir(tmp_path / "work")
    return world


def spec_of(server: FakeServer) -> dict[str, Any]:
    found: dict[str, Any] = posted(server, "/tasks")["spec"]
    return found


def test_run_sends_command_inputs_and_limits(run: Run, scripts: FakeServer) -> None:
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


def printed(seq: int, text: str, stream: str = "stdout") -> tuple[str, str, dict[str, Any]]:
    chunk = Partial({"seq": seq, "attempt": 1, "stream": stream, "level": None, "text": text,
             "kept_bytes": 0, "time": None})  # fmt: skip
    return f"0-0-{seq}", "log", chunk


def state(status: str, kind: str = "status") -> tuple[None, str, dict[str, Any]]:
    return None, kind, {"status": status, "stop_wanted": None}


@pytest.fixture
def ended(scripts: FakeServer) -> FakeServer:
    """Return the scripted server with a completed script that ran on two nodes, and its output."""
    result = {"exit_code": 0, "seconds": 62.4, "metrics": {"loss": 0.18999999999999997}}
    scripts.on(f"GET tasks/{T}", answer(TASK | {"status": "completed", "result": result}))
    events = [
        state("pending"),
        state("running"),
        printed(1, "epoch 1\n[rank 1] epoch 1\n"),
        printed(2, "careful \x1b[2J\n", "stderr"),
        printed(3, "[node 1] epoch 1\n"),
        (None, "metrics", {"step": 1, "values": {"loss": 0.2}}),
        state("completed", "end"),
    ]
    scripts.on(f"GET tasks/{T}/events", lambda _: sse(*events))
    items = [{"path": n, "size": 600_000, "sha256": "0" * 64} for n in ("a.bin", "b.bin")]
    scripts.on(f"GET tasks/{T}/artifacts", page(*items))
    return scripts


def test_run_prints_the_output_and_a_line_about_the_result(run: Run, ended: FakeServer) -> None:
    done = run("scripts", "run", "--", "python", "main.py")
    assert (done.code, done.out) == (0, "epoch 1\n[rank 1] epoch 1\n[node 1] epoch 1\n")
    lines = done.err.splitlines()
    assert "careful \ufffd[2J" in lines
    assert lines[-1] == (
        "python main.py completed in 1:02. Files: 2, 1.2 MB. "
        f"Fetch them: aiplatform tasks artifacts {T} --to results"
    )
    assert "{" not in done.err
    assert "\x1b" not in done.err


def test_run_without_artifacts_says_so(run: Run, ended: FakeServer) -> None:
    ended.on(f"GET tasks/{T}/artifacts", page())
    done = run("scripts", "run", "--", "python", "main.py")
    assert done.err.splitlines()[-1] == "python main.py completed in 1:02. It has left no files."


def test_run_in_chinese_prints_the_result_in_chinese(
    run: Run, ended: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIPLATFORM_LANG", "zh")
    done = run("scripts", "run", "--", "python", "main.py")
    assert done.err.splitlines()[-1].startswith(
        "python main.py 已完成，用时 1:02。文件：2 个，1.2 MB。"
    )


def test_run_with_json_prints_events_and_the_task(run: Run, ended: FakeServer) -> None:
    done = run("scripts", "run", "--json", "--", "python", "main.py")
    *events, task = map(json.loads, done.out.splitlines())
    kinds = [event["event"] for event in events]
    assert kinds == ["status", "status", "log", "log", "log", "metrics", "end"]
    assert events[3]["data"]["text"] == "careful \x1b[2J\n"
    assert task["result"]["metrics"] == {"loss": 0.18999999999999997}


def test_run_of_a_failing_script_prints_output_and_reason(run: Run, ended: FakeServer) -> None:
    why = "The command ended with exit code 3; its log says why."
    ended.on(f"GET tasks/{T}", answer(TASK | {"status": "failed", "error_message": why}))
    events = [state("running"), printed(1, "boom\n", "stderr"), state("failed", "end")]
    ended.on(f"GET tasks/{T}/events", sse(*events))
    done = run("scripts", "run", "--", "python", "main.py")
    assert (done.code, done.out) == (5, "")
    assert "boom" in done.err.splitlines()
    assert f"python main.py failed: {why}" in done.err


@pytest.mark.parametrize("given", ["rows", "=faq", ""])
def test_run_with_invalid_pair_is_refused(run: Run, scripts: FakeServer, given: str) -> None:
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


def test_artifact_with_path_outside_the_directory_is_refused(
    run: Run, scripts: FakeServer, tmp_path: Path
) -> None:
    scripts.on(f"GET tasks/{T}/artifacts", page({"path": "../x", "size": 1, "sha256": "0" * 64}))
    done = run("tasks", "artifacts", T, "--to", str(tmp_path / "here"))
    assert done.code != 0
    assert "outside" in done.err
    assert not (tmp_path / "x").exists()


def test_packing_of_empty_files_is_announced_once(
    run: Run, scripts: FakeServer, tmp_path: Path
) -> None:
    for name in ("__init__.py", "a.py", "b.py"):
        (tmp_path / "work" / name).touch()
    done = run("scripts", "run", "--detach", "--", "python", "main.py")
    assert done.code == 0, done.err
    assert (done.out + done.err).count("Packing") == 1

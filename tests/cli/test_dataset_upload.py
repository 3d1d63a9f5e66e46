"""Tests of ``aiplatform datasets upload`` and ``uploads``."""

import json
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import DATASET, TASK, D, E, P, Run, T
from tests.client.fake import FakeServer, answer, page, problem
from tests.openapi_checks import Partial

VERSION = Partial({"uuid": E, "dataset": D, "version": "v1"})


def head(status: str) -> httpx.Response:
    return answer(DATASET | {"status": status, "shape": "text"})


@pytest.fixture
def file(tmp_path: Path, world: FakeServer) -> str:
    (tmp_path / "faq.jsonl").write_text("{}\n")
    world.on(f"POST datasets/{D}/versions", answer(VERSION, 201))
    world.on(f"GET datasets/{D}/versions/v1", answer(VERSION))
    return str(tmp_path / "faq.jsonl")


def interrupted(_: object) -> httpx.Response:
    raise KeyboardInterrupt


def slow(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock with one that advances only by sleeping; return a list with its time."""
    spent = [0.0]

    def sleep(seconds: float) -> None:
        spent[0] += seconds

    monkeypatch.setattr("aiplatform.client.polling.time.sleep", sleep)
    monkeypatch.setattr("aiplatform.client.polling.time.monotonic", lambda: spent[0])
    return spent


def test_upload_interrupted_by_ctrl_c_leaves_the_report_running(
    world: FakeServer, run: Run, file: str
) -> None:
    world.on(f"GET datasets/{D}", head("processing"), head("processing"), interrupted)
    ran = run("datasets", "upload", file)
    assert ran.code == 130
    said = " ".join(ran.err.split())
    assert said.startswith("faq v1: 3 rows, text.")
    assert "faq@v1 is committed, and its quality report continues" in said
    assert "`aiplatform datasets report faq@v1` shows it." in said


FULL = "needs 0.5 CPU cores, 0 of 2 free: deployments a, b"
REPORT = TASK | {
    "type": "data_quality",
    "status": "pending",
    "config": {"dataset": {"dataset": D, "version": "v1"}},
    "waiting": {"ahead": 0, "reason": FULL, "reason_zh": "", "not_before": None, "blocked": True},
}


def test_upload_whose_report_waits_prints_why(world: FakeServer, run: Run, file: str) -> None:
    other = REPORT | {"uuid": E, "config": {"dataset": {"dataset": E, "version": "v1"}}}
    world.on(f"GET projects/{P}/tasks", page(other, REPORT)).on(f"GET tasks/{T}", answer(REPORT))
    world.on(f"GET datasets/{D}", head("processing"), *[head("processing")] * 3, head("ready"))
    world.on(f"GET datasets/{D}/versions/v1/gate", answer({"passed": True, "failures": []}))
    ran = run("datasets", "upload", file)
    assert ran.code == 0, ran.err
    assert ran.err.count(f"the quality report of faq@v1 waits: {FULL}\n") == 1


def test_upload_by_someone_who_may_not_read_tasks_waits_without_a_reason(
    world: FakeServer, run: Run, file: str
) -> None:
    world.on(f"GET projects/{P}/tasks", problem(403, "auth.permission_denied", "No."))
    world.on(f"GET datasets/{D}", head("processing"), head("processing"), head("ready"))
    world.on(f"GET datasets/{D}/versions/v1/gate", answer({"passed": True, "failures": []}))
    ran = run("datasets", "upload", file)
    assert ran.code == 0, ran.err
    assert "waits" not in ran.err


def test_upload_waits_hours_for_its_report(
    world: FakeServer, run: Run, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = slow(monkeypatch)
    world.on(f"GET datasets/{D}", *[head("processing")] * 2000, head("ready"))
    world.on(f"GET datasets/{D}/versions/v1/gate", answer({"passed": True, "failures": []}))
    assert run("datasets", "upload", file).code == 0
    assert spent[0] > 3600


def test_upload_whose_report_was_cancelled_stops_waiting(
    world: FakeServer, run: Run, file: str
) -> None:
    world.on(f"GET datasets/{D}", head("processing"), head("processing"), head("uploaded"))
    ran = run("datasets", "upload", file)
    assert ran.code == 1
    assert "faq v1: 3 rows, text." in ran.err
    assert "aiplatform datasets check faq" in ran.err


def test_upload_with_parent_follows_an_older_version(
    world: FakeServer, run: Run, file: str
) -> None:
    ran = run("datasets", "upload", file, "--parent", "v1", "--no-wait")
    assert ran.code == 0, ran.err
    [sent] = [request for request in world.requests if request.method == "POST"]
    assert sent.url.params["parent"] == "v1"
    assert "mode" not in sent.url.params
    # A dataset that does not exist has no version that a new one could follow.
    ran = run("datasets", "upload", file, "--name", "other", "--parent", "v1")
    assert ran.code == 1
    assert world.count(f"POST projects/{P}/datasets") == 0


UPLOADS = [
    Partial({"uuid": E, "name": "new", "filename": "rows.jsonl", "length": 200_000_000,
     "offset": 64_000_000, "status": "receiving"}),
    Partial({"uuid": "7f000000-0000-4000-8000-000000000001", "dataset": D, "length": 5, "offset": 5,
     "status": "committed"}),
]  # fmt: skip


def test_uploads_in_pieces_are_listed_and_cancelled(world: FakeServer, run: Run) -> None:
    world.on(f"GET projects/{P}/uploads", page(*UPLOADS))
    world.on(f"DELETE uploads/{E}", answer(status=204, Tus_Resumable="1.0.0"))
    listed = run("datasets", "uploads", "ls").out
    assert "64.0 MB of 200.0 MB" in listed
    assert "rows.jsonl" in listed
    assert D in listed
    assert json.loads(run("datasets", "uploads", "ls", "--json").out)[0]["offset"] == 64_000_000
    ran = run("datasets", "uploads", "cancel", E[:8], "--yes")
    assert ran.code == 0, ran.err
    assert world.count(f"DELETE uploads/{E}") == 1
    for unclear in ("", E[:5], "0123456789"):
        assert run("datasets", "uploads", "cancel", unclear, "--yes").code == 2
    assert world.count(f"DELETE uploads/{E}") == 1

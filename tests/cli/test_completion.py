"""Tests of shell completion: which names are offered, and which must not be offered."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import httpx
import pytest
import typer.main

from aiplatform.cli import completion
from aiplatform.cli.main import app
from tests.cli.conftest import D, Ran, Run
from tests.client.fake import FakeServer, answer, malformed, page, problem
from tests.openapi_checks import Partial

HOSTILE = ["my data; rm -rf x", "$(touch x)", "back\\$(touch y)", "it's", 'a "quote"', "`id`"]
NAMED = {
    "PROJECT": "projects show",
    "DATASET": "datasets show",
    "DATASET@BEFORE": "datasets diff",
    "MODEL": "models show",
    "TASK": "tasks show",
    "RUN": "runs show",
    "EXPERIMENT": "experiments show",
    "DEPLOYMENT": "deploy show",
    "SWEEP": "sweep show",
    "SCHEDULE": "schedules show",
    "WEBHOOK": "webhooks show",
    "WORKER": "workers show",
    "ROLE": "roles show",
}


@pytest.fixture
def ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Return a function that requests completions like a shell; the last word is completed."""
    monkeypatch.setenv(completion.TIMEOUT_VARIABLE, "60")

    def ask(*words: str, shell: str = "bash") -> Ran:
        monkeypatch.setenv(completion.VARIABLE, f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", "\n".join(["aiplatform", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", " ".join(["aiplatform", *words]))
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setenv("_TYPER_COMPLETE_WORD_TO_COMPLETE", words[-1])
        return run()

    return ask


def dataset(name: str) -> Partial:
    return Partial({"uuid": D, "name": name, "version": "v1", "status": "ready"})


@pytest.mark.parametrize(
    ("words", "joined", "word"),
    [
        ("show faq", "show faq", ("", "")),
        ("show faq @", "show faq@", ("", "faq")),
        ("show faq @ v", "show faq@v", ("", "faq")),
        ("deploy task : t", "deploy task:t", ("", "task:")),
        ("run --dataset x = faq @ v", "run --dataset x=faq@v", ("", "x=faq")),
        ("ls --project = d", "ls --project=d", ("", "")),
        ("show my\\ data @ v", "show my\\ data@v", ("", "my data")),
        ("show 'my", "show 'my", ("'", "")),
        ("show ", "show ", ("", "")),
    ],
)
def test_join_bash_words_joins_words_that_bash_split(
    words: str, joined: str, word: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    split = words.replace("\\ ", "\0").split(" ")
    monkeypatch.setenv("COMP_WORDS", "\n".join(["aiplatform", *split]).replace("\0", "\\ "))
    monkeypatch.setenv("COMP_CWORD", str(len(split)))
    assert completion.join_bash_words() == word
    again = os.environ["COMP_WORDS"].split("\n")
    assert " ".join(again[1:]) == joined
    assert os.environ["COMP_CWORD"] == str(len(again) - 1)


def test_join_bash_words_after_a_space_completes_an_empty_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMP_WORDS", "aiplatform\nshow")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert completion.join_bash_words() == ("", "")
    assert os.environ["COMP_CWORD"] == "2"


def test_completion_for_bash_quotes_names_as_one_word(
    ask: Callable[..., Ran], world: FakeServer
) -> None:
    world.on("GET projects/00000000-0000-4000-8000-000000000001/datasets",
             page(*map(dataset, [*HOSTILE, "客户 数据", "--force", "two\nlines"])))  # fmt: skip
    found = ask("datasets", "show", "").out.splitlines()
    script = 'for word in "$@"; do eval "set -- $word"; printf "%s|%s\\n" "$#" "$1"; done'
    read = subprocess.run(
        ["bash", "-c", script, "bash", *found], capture_output=True, text=True, check=True
    )
    assert read.stdout.splitlines() == [f"1|{name}" for name in [*HOSTILE, "客户 数据"]]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_completion_after_an_open_quote_omits_names_that_would_close_it(
    quote: str, ask: Callable[..., Ran], world: FakeServer
) -> None:
    world.on("GET projects/00000000-0000-4000-8000-000000000001/datasets",
             page(*map(dataset, [*HOSTILE, "plain name"])))  # fmt: skip
    found = ask("datasets", "show", quote).out.splitlines()
    assert found == ["my data; rm -rf x", "plain name"]


@pytest.mark.parametrize(
    ("shell", "offered"),
    [
        ("zsh", {"my data; rm -rf x", "plain"}),
        ("fish", {*HOSTILE, "plain"}),
        ("powershell", {"plain"}),
        ("pwsh", {"plain"}),
    ],
)
def test_completion_omits_names_that_a_shell_would_misread(
    shell: str, offered: set[str], ask: Callable[..., Ran], world: FakeServer
) -> None:
    world.on("GET projects/00000000-0000-4000-8000-000000000001/datasets",
             page(*map(dataset, [*HOSTILE, "plain", "--force"])))  # fmt: skip
    out = ask("datasets", "show", "", shell=shell).out
    assert {name for name in [*HOSTILE, "plain", "--force"] if name in out} == offered


@pytest.mark.parametrize(
    "refusal",
    [
        problem(401, "auth.unauthenticated", "no"),
        malformed("a fault of the server", problem(500, "server.internal_error", "broken")),
        malformed("another service", answer("no list")),
        ConnectionError("away"),
    ],
)
def test_completion_prints_nothing_if_the_platform_does_not_answer(
    refusal: object, ask: Callable[..., Ran], server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.on("GET projects", refusal)  # type: ignore[arg-type]
    ran = ask("projects", "show", "d")
    assert (ran.out.strip(), ran.err) == ("", "")


def test_completion_does_not_wait_for_a_slow_platform(
    ask: Callable[..., Ran], world: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()

    def late(_: httpx.Request) -> httpx.Response:
        given_up.wait()
        return page(Partial({"uuid": D, "name": "demo"}))

    world.on("GET projects", late)
    monkeypatch.setenv(completion.TIMEOUT_VARIABLE, "0.1")
    ran = ask("projects", "show", "d")
    given_up.set()
    assert (ran.out.strip(), ran.err) == ("", "")


def test_completion_without_credentials_prints_nothing() -> None:
    """Run the program in a process without credentials, like a shell."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AIPLATFORM_CREDENTIALS": "/nonexistent/credentials.json",
        "AIPLATFORM_URL": "http://127.0.0.1:1",
        completion.VARIABLE: "complete_bash",
        "COMP_WORDS": "aiplatform\ndatasets\nshow\nf",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [sys.executable, "-m", "aiplatform"],
        env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("", "")


def parameters() -> dict[str, dict[str, bool]]:
    """Return the parameters of each command, with True for those that have a completion."""
    completion.attach(app)
    found: dict[str, dict[str, bool]] = {}

    def walk(command: object, path: tuple[str, ...]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*path, name))
        found[" ".join(path)] = {
            str(parameter.name): parameter._custom_shell_complete is not None
            for parameter in command.params  # type: ignore[attr-defined]
        }

    walk(typer.main.get_command(app), ())
    return found


@pytest.mark.parametrize("metavar", sorted(NAMED))
def test_first_argument_of_show_commands_completes(metavar: str) -> None:
    assert metavar in completion.LOOKUPS
    assert any(parameters()[NAMED[metavar]].values())


def test_parameters_named_after_a_resource_complete() -> None:
    """If this fails, give the new parameter the metavar of the others or list it in MEANINGS."""
    kinds = {"project", "dataset", "model", "experiment", "deployment", "sweep", "task", "run",
             "base_model", "eval_dataset", "tasks", "runs", "experiments"}  # fmt: skip
    counts = {"projects quota:tasks"}
    missing = [
        f"{command}:{name}"
        for command, names in parameters().items()
        for name, completes in names.items()
        if name in kinds and not completes and f"{command}:{name}" not in counts
    ]
    assert not missing

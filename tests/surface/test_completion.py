"""Tests of command completion with a real platform, partly in real shells.

The tests with shells type a line and a tab, then make the shell print the completed words.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from tests.surface.live_platform import PROJECT, LivePlatform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
READY = "READY> "
WAIT_SECONDS = 120
Ask = Callable[..., list[str]]


@pytest.fixture(scope="module")
def live(unrecorded_platform: LivePlatform) -> LivePlatform:
    """Create objects of all kinds, some with names that a shell misreads unless quoted."""
    client = unrecorded_platform.client
    for name in ("questions", "my data; touch broken", "$(touch broken)", "客户 数据"):
        client.datasets.upload(name, unrecorded_platform.rows(1))
    client.datasets.append("questions", unrecorded_platform.rows(1))
    client.datasets.tag("questions", "prod", "v1")
    client.experiments.create("steps", base_model=unrecorded_platform.model, dataset="questions",
                              output_name="tuned", max_steps=2)  # fmt: skip
    client.deployments.create("answers", unrecorded_platform.model)
    client.projects.create("second")
    client.projects.create("second two")
    assert unrecorded_platform.endless.name == "endless"
    return unrecorded_platform


@pytest.fixture(scope="module")
def environment(live: LivePlatform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment variables of a shell in which ``aiplatform`` is a command."""
    programs = tmp_path_factory.mktemp("bin")
    program = programs / "aiplatform"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m aiplatform "$@"\n')
    program.chmod(0o755)
    kept = {name: os.environ[name] for name in ("HOME",) if name in os.environ}
    return {
        **kept,
        **live.environment(),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "AIPLATFORM_COMPLETION_TIMEOUT": str(WAIT_SECONDS),
        "TERM": "dumb",
    }


@pytest.fixture(scope="module")
def ask(environment: dict[str, str]) -> Ask:
    """Return a function that asks for completions as the completion script for bash does."""

    def ask(*words: str) -> list[str]:
        done = subprocess.run(
            ["aiplatform"],
            env={**environment, "_AIPLATFORM_COMPLETE": "complete_bash",
                 "COMP_WORDS": "\n".join(["aiplatform", *words]), "COMP_CWORD": str(len(words))},
            capture_output=True, text=True, check=True, timeout=WAIT_SECONDS,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.splitlines()

    return ask


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("projects show sec", ["second", "second\\ two"]),
        ("datasets ls --project sur", [PROJECT]),
        ("datasets ls --project = sur", [PROJECT]),
        ("datasets show que", ["questions"]),
        ("datasets show questions @", ["@prod", "@v1", "@v2"]),
        ("datasets show questions @ p", ["@prod"]),
        ("train --dataset que", ["questions"]),
        ("models show t", ["tiny"]),
        ("models show tiny @", ["@1"]),
        ("train --base-model t", ["tiny"]),
        ("experiments show st", ["steps"]),
        ("sweep create st", ["steps"]),
        ("tasks show end", ["endless"]),
        ("runs show end", ["endless"]),
        ("deploy show an", ["answers"]),
        ("chat an", ["answers"]),
        ("roles show adm", ["admin"]),
    ],
)
def test_completion_offers_names_of_the_platform(line: str, expected: list[str], ask: Ask) -> None:
    found = ask(*line.split(" "))
    assert set(expected) <= set(found)
    assert len(found) == len(set(found))


def test_completion_with_beginning_of_task_uuid_offers_the_uuid(
    live: LivePlatform, ask: Ask
) -> None:
    uuid = str(live.endless.uuid)
    assert ask("tasks", "show", uuid[:6]) == [uuid]


def test_completion_offers_names_of_the_project_option(ask: Ask) -> None:
    assert ask("datasets", "show", "-p", "second", "que") == []
    assert ask("datasets", "show", "-p", PROJECT, "que") == ["questions"]


class Shell:
    """An interactive shell with the completion script of ``aiplatform``."""

    def __init__(self, name: str, directory: Path, environment: dict[str, str]) -> None:
        script = subprocess.run(
            ["aiplatform"],
            env={**environment, "_AIPLATFORM_COMPLETE": f"source_{name}"},
            capture_output=True, text=True, check=True, timeout=WAIT_SECONDS,
        ).stdout  # fmt: skip
        start = {
            "bash": f"PS1='{READY}'\nbind 'set enable-bracketed-paste off'\n",
            "zsh": f"PS1='{READY}'\nautoload -U compinit; compinit -u -D\n",
        }[name]
        file = directory / {"bash": "bashrc", "zsh": ".zshrc"}[name]
        file.write_text(start + script + "words() { printf '<%s>' \"$@\"; printf '\\nEND\\n'; }\n")
        arguments = {"bash": ["--noprofile", "--rcfile", str(file), "-i"], "zsh": ["-i"]}[name]
        self._process = pexpect.spawn(
            name, arguments, cwd=directory, encoding="utf-8", timeout=WAIT_SECONDS,
            dimensions=(40, 200), env={**environment, "ZDOTDIR": str(directory)},
        )  # fmt: skip
        self._process.expect_exact(READY)

    def completed(self, line: str) -> list[str]:
        """Type a line and a tab; return the words of the completed line."""
        self._process.send(f"{line}\t\x01words \x05\r")
        self._process.expect("\r?\nEND")
        assert self._process.before is not None
        printed = self._process.before.rpartition("\n")[2].strip()
        self._process.expect_exact(READY)
        return printed.removeprefix("<").removesuffix(">").split("><")

    def close(self) -> None:
        """Stop the shell."""
        self._process.close(force=True)


@pytest.fixture(params=["bash", "zsh"])
def shell(
    request: pytest.FixtureRequest, tmp_path: Path, environment: dict[str, str]
) -> Iterator[Shell]:
    if request.param == "zsh" and shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    shell = Shell(request.param, tmp_path, environment)
    yield shell
    shell.close()
    assert not (tmp_path / "broken").exists(), "a name was run as a command"


def test_shell_inserts_names_as_one_word(shell: Shell) -> None:
    for typed, name in [
        ("que", "questions"),
        ("questions@p", "questions@prod"),
        ("my", "my data; touch broken"),
        ("客", "客户 数据"),
    ]:
        words = shell.completed(f"aiplatform datasets show {typed}")
        assert words == ["aiplatform", "datasets", "show", name]

"""Tests of counting tokens in a separate process: equal results, and how the process exits."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from aiplatform.data import canonical
from aiplatform.data.quality import check_run
from aiplatform.data.quality.chat_template import TemplateRefusedError
from aiplatform.data.quality.check import Context
from aiplatform.data.quality.report import make_report
from aiplatform.data.quality.token_process import CountingFailedError, TokenProcess
from aiplatform.runtime.launcher import children_of
from tests.data.conftest import Upload, chat, jsonl
from tests.data.quality.conftest import codes
from tests.data.quality.test_tokens import with_template
from tests.runtime.harness import SOURCE, is_alive, wait_until_dead

STRICT = (
    "{% if messages[0]['role'] != 'user' %}{{ raise_exception('users go first') }}{% endif %}"
    "{% for m in messages %}{{ m['content'] }}{% endfor %}"
)
NEVER_DONE = (
    "{% if messages[0]['content'] == 'slow' %}"
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}{% endif %}"
    "{% for m in messages %}{{ m['content'] }}{% endfor %}"
)


@pytest.fixture(autouse=True)
def always_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_run, "LEAST_BYTES", 0)


@pytest.fixture
def slow(
    upload: Upload, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """Create rows, and a model whose template never finishes for rows after the first row group.

    The counting process therefore stays at the second row group until it is stopped.
    """
    monkeypatch.setattr(canonical, "ROW_GROUP_ROWS", 10)
    rows = [chat("u: hi", f"a: {n}") for n in range(10)] + [chat("u: slow", "a: x")] * 30
    upload(jsonl(*rows), "x.jsonl")
    return upload.output, with_template(weights, tmp_path, NEVER_DONE)


def conversations(rng: random.Random) -> list[dict[str, Any]]:
    return [
        rng.choice(
            [
                chat("u: hi", "a: " + "word " * rng.randrange(90)),
                chat("a: first", "u: 你好，世界", "a: z"),
                chat("s: be", "u: hi", "a: x"),
                chat("u: " + "\x00 \n" * rng.randrange(9)),
                {"messages": None},
            ]
        )
        for _ in range(300)
    ]


def pairs(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {"prompt": "hi", "chosen": "no " * rng.randrange(60), "rejected": "so " * rng.randrange(60)}
        for _ in range(100)
    ]


def texts(rng: random.Random) -> list[dict[str, Any]]:
    return [{"text": "hello world " * rng.randrange(30)} for _ in range(100)]


def table(rng: random.Random) -> list[dict[str, Any]]:
    return [{"a": rng.random(), "b": "c"} for _ in range(100)]


@pytest.mark.parametrize("rows_of", [conversations, pairs, texts, table])
@pytest.mark.parametrize("template", ["model", STRICT, None])
def test_report_equals_that_of_a_single_process(
    rows_of: Any,
    template: str | None,
    upload: Upload,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(canonical, "ROW_GROUP_ROWS", 40)
    model = weights if template == "model" else with_template(weights, tmp_path, template)
    upload(jsonl(*rows_of(random.Random(7))), "x.jsonl")
    path = upload.output
    context = Context(canonical.shape_of(path), pq.read_schema(path), canonical.row_count(path))
    reports, found = [], []
    for least in (0, 1 << 40):
        monkeypatch.setattr(check_run, "LEAST_BYTES", least)
        reports.append(make_report(path, tokenizer=model, max_length=50, progress=lambda _: None))
        run = check_run.CheckRun(context, [], model, 50)
        run.execute(path, lambda _: None)
        found.append(run.findings())
    assert json.dumps(reports[0]) == json.dumps(reports[1])
    assert found[0] == found[1]
    assert all(len(finding.rows) == finding.count for finding in found[0])
    if rows_of is conversations:
        assert "over_length" in codes(reports[0])
        assert ("template_refuses" in codes(reports[0])) == (template == STRICT)


def test_small_files_start_no_process(
    upload: Upload, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(check_run, "TokenProcess", None)
    upload(jsonl(chat("u: hi", "a: x")), "x.jsonl")
    made = make_report(upload.output, tokenizer=weights, max_length=50, progress=lambda _: None)
    assert made["tokens"]["rows"] == 1


def test_progress_is_that_of_the_slower_process(
    upload: Upload, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canonical, "ROW_GROUP_ROWS", 10)
    upload(jsonl(*(chat("u: hi", f"a: {n}") for n in range(95))), "x.jsonl")
    seen: list[float] = []
    make_report(upload.output, tokenizer=weights, max_length=50, progress=seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    # All rows are checked before the other process has finished its imports.
    assert seen[9] == 0.0


class Enough(Exception):
    pass


@pytest.fixture
def counters() -> Callable[[], set[int]]:
    """Return a function that returns the child processes started since the test began.

    Servers from other tests are children of this process, too.
    """
    before = set(children_of(os.getpid()))
    return lambda: set(children_of(os.getpid())) - before


def test_process_ends_when_the_report_is_abandoned(
    slow: tuple[Path, Path], counters: Callable[[], set[int]]
) -> None:
    rows, model = slow
    seen: list[float] = []
    children: set[int] = set()

    def progress(done: float) -> None:
        seen.append(done)
        children.update(counters())
        if done > 0.0:
            raise Enough

    with pytest.raises(Enough):
        make_report(rows, tokenizer=model, max_length=50, progress=progress)
    assert seen[-1] == 0.25
    assert children
    assert not any(map(is_alive, children))


def test_killed_process_is_reported(
    slow: tuple[Path, Path], counters: Callable[[], set[int]]
) -> None:
    rows, model = slow

    def progress(done: float) -> None:
        for child in counters():
            os.kill(child, signal.SIGKILL)

    with pytest.raises(CountingFailedError, match=r"counts tokens was killed by SIGKILL .*memory"):
        make_report(rows, tokenizer=model, max_length=50, progress=progress)


def test_process_ignores_termination_signals(slow: tuple[Path, Path]) -> None:
    with TokenProcess(*slow, 50, keeps_rows=False) as counting:
        deadline = time.monotonic() + 30
        while not counting.rows:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(counting.pid, number)
        time.sleep(0.3)
        assert is_alive(counting.pid)
        counting.check()


def test_process_ends_with_its_starter(slow: tuple[Path, Path]) -> None:
    program = (
        "import pathlib, sys, time;"
        "from aiplatform.data.quality.token_process import TokenProcess;"
        "counting = TokenProcess(*map(pathlib.Path, sys.argv[1:]), 50, keeps_rows=False);"
        "[time.sleep(0.01) for _ in iter(lambda: counting.rows, 10)];"
        "print(counting.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, slow)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    ) as starter:
        try:
            assert starter.stdout is not None
            pid = int(starter.stdout.readline())
            assert is_alive(pid)
        finally:
            starter.kill()
    try:
        wait_until_dead(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_errors_of_the_process_are_raised(upload: Upload, weights: Path, tmp_path: Path) -> None:
    upload(jsonl(chat("u: hi", "a: x")), "x.jsonl")
    broken = with_template(weights, tmp_path, "{% for %}")

    def count(rows: Path) -> None:
        with TokenProcess(rows, broken, 50, keeps_rows=False) as counting:
            counting.lengths(lambda: None)

    with pytest.raises(TemplateRefusedError):
        count(upload.output)
    (broken / "tokenizer.json").write_text("{}")
    with pytest.raises(CountingFailedError, match=r"could not be counted: Exception: .+"):
        count(upload.output)
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        count(tmp_path / "none.parquet")

"""Tests of the program that reads untrusted files."""

import json
import random
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aiplatform.data.blobs import hash_file
from aiplatform.data.canonical import row_count
from aiplatform.data.plan import Plan
from aiplatform.data.row_access import read_rows
from tests.data.conftest import Upload, chat, jsonl, peak_of

PROGRAM = [sys.executable, "-P", "-m", "aiplatform.data.ingest"]


def run(source: Path, output: Path, *options: str) -> dict[str, Any]:
    command = [*PROGRAM, "--input", str(source), "--output", str(output), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.skipif(find_spec("pandas") is None, reason="there is no pandas to import")
def test_program_does_not_import_an_installed_pandas(tmp_path: Path) -> None:
    source = tmp_path / "upload"
    # The file has several blocks, because all but the first are read by the fast path.
    source.write_bytes(jsonl(*({"text": "word " * 9, "score": n / 8} for n in range(100_000))))
    command = [*PROGRAM, f"--input={source}", f"--output={tmp_path / 'rows'}", "--filename=x.jsonl"]
    command.insert(1, "-Ximporttime")
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout)["rows"] == 100_000
    assert b"pyarrow.json" in done.stderr
    assert b"pandas.core" not in done.stderr


def test_program_prints_a_description_as_one_line_of_json(tmp_path: Path) -> None:
    source = tmp_path / "upload"
    source.write_bytes(jsonl(chat("u: 你好", "a: hello"), chat("u: x", "a: y")))
    answer = run(source, tmp_path / "rows.parquet", "--filename", "chats.jsonl")
    sha256, size = hash_file(tmp_path / "rows.parquet")
    assert answer == {
        "ok": True,
        "rows": 2,
        "format": "jsonl",
        "shape": "chat",
        "columns": [{"name": "messages", "type": "messages"}],
        "renamed": {},
        "encoding": "UTF-8",
        "compression": None,
        "details": {},
        "sha256": sha256,
        "size": size,
    }
    assert read_rows(tmp_path / "rows.parquet", 1, 5) == [chat("u: x", "a: y")]


def test_program_prints_an_error_as_one_line_of_json(tmp_path: Path) -> None:
    source = tmp_path / "upload"
    source.write_bytes(b'{"a":1}\n{"a":\n')
    answer = run(source, tmp_path / "rows.parquet", "--filename", "x.jsonl", "--format", "jsonl")
    assert answer == {
        "ok": False,
        "code": "dataset.malformed",
        "reason": "json_invalid",
        "message": "line 2: invalid JSON at column 6: expecting value",
        "message_zh": "第 2 行：第 6 列处 JSON 格式错误：此处应有值",
        "line": 2,
    }
    assert list(tmp_path.iterdir()) == [source]


def test_program_that_crashes_prints_nothing(tmp_path: Path) -> None:
    command = [*PROGRAM, "--input", str(tmp_path / "absent"), "--output", str(tmp_path / "rows")]
    done = subprocess.run([*command, "--filename", "x"], capture_output=True, check=False)
    assert done.returncode != 0
    assert done.stdout == b""


def test_program_uses_only_the_suffix_of_the_filename(tmp_path: Path) -> None:
    source = tmp_path / "upload"
    source.write_bytes(jsonl({"a": 1}))
    answer = run(source, tmp_path / "rows.parquet", "--filename=--format/../../etc/x.jsonl")
    assert answer["format"] == "jsonl"


def endless(path: Path) -> None:
    rng = random.Random(1)
    block = jsonl(*(chat("u: hi", f"a: {rng.random()}") for _ in range(10_000)))
    with path.open("wb") as file:
        for _ in range(25):
            file.write(block)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_program_stopped_by_a_signal_leaves_no_output(
    tmp_path: Path, number: signal.Signals
) -> None:
    source, output = tmp_path / "upload", tmp_path / "rows.parquet"
    endless(source)
    command = [*PROGRAM, "--input", str(source), "--output", str(output), "--filename", "x.jsonl"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    partial = tmp_path / "rows.parquet.partial"
    deadline = time.monotonic() + 30
    while not partial.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert partial.exists()
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=30)
    assert stdout == b""
    assert process.returncode == (143 if number == signal.SIGTERM else -9)
    assert not output.exists()
    assert partial.exists() is (number == signal.SIGKILL)
    # Files left behind by a killed process do not disturb the next one.
    source.write_bytes(jsonl({"a": 1}))
    assert run(source, output, "--filename", "x.jsonl")["rows"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.parquet", "upload"]


@pytest.mark.slow
def test_file_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    """Check a file whose dictionary expands to 40 GB of text, with a memory limit of 4 GiB."""
    value = pa.array(["x" * 10_000_000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 4096, pa.int32()), value)
    source = tmp_path / "upload"
    # Without Arrow's own schema, the column is read as plain text, which the reader decodes.
    pq.write_table(
        pa.table({"text": column}), source, dictionary_pagesize_limit=1 << 30, store_schema=False
    )
    assert source.stat().st_size < 1_000_000
    answer = run(source, tmp_path / "rows.parquet", "--filename", "x.parquet")
    assert answer["ok"] is False
    assert answer["reason"] in {"memory", "bomb"}
    assert list(tmp_path.iterdir()) == [source]


def test_late_columns_give_the_same_file_as_early_ones(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__", (4000,)
    )
    rows: list[dict[str, Any]] = [{"a": n, "b": None} for n in range(1000)]
    rows += [{"a": 0.5, "b": "late"}, {"a": None, "b": None, "c": [1]}]
    rows += [{"a": n, "b": None} for n in range(1000)]
    filled = [{"a": r["a"], "b": r["b"], "c": r.get("c")} for r in rows]
    assert upload(jsonl(*rows), "x.jsonl") == filled
    late = upload.output.read_bytes()
    # The same rows in a single chunk, from which all types are known immediately.
    monkeypatch.setattr(
        "aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__", (10**7,)
    )
    assert upload(jsonl(*rows), "x.jsonl") == filled
    assert upload.output.read_bytes() == late


def test_file_is_read_at_most_twice(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every chunk add a column and a type, which must not cause further passes."""
    monkeypatch.setattr(
        "aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__", (500,)
    )
    conformed: list[int] = []
    real = Plan.conform
    monkeypatch.setattr(
        Plan, "conform", lambda self, chunk: (conformed.append(chunk.rows), real(self, chunk))[1]
    )
    rows = [{f"k{n // 20}": [n, "x", 0.5, True][n % 4]} for n in range(2000)]
    assert len(upload(jsonl(*rows), "x.jsonl")) == 2000
    assert sum(conformed) <= 2 * 2000 + 100


def test_late_messages_with_extras_are_kept(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__", (4000,)
    )
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    rows = [chat("u: hi", f"a: {n}") for n in range(500)]
    rows += [{"messages": [call, {"role": "tool", "content": "4", "name": "add"}]}]
    rows += [chat("u: hi", f"a: {n}") for n in range(500)] + [{"messages": None}]
    assert upload(jsonl(*rows), "x.jsonl") == rows


def test_renamed_columns_are_reported(upload: Upload) -> None:
    rows = upload(jsonl({"id": 1, "question": "a", "answer": "b"}), "x.jsonl")
    assert rows == [{"id": 1, "prompt": "a", "completion": "b"}]
    assert upload.found["renamed"] == {"question": "prompt", "answer": "completion"}


def test_late_column_with_a_canonical_name_in_use_is_refused(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__", (40,))
    rows = [{"question": "a", "answer": "b"}] * 9 + [{"question": "a", "prompt": "c"}]
    assert upload.error(jsonl(*rows), "x.jsonl").reason == "column_twice"


@pytest.mark.parametrize(
    ("rows", "reason", "said"),
    [
        ([{"text": "a"}, {"text": 5}], "text_expected", "“text” must be text, this is a number"),
        ([{"question": "a", "answer": "b"}, {"question": [], "answer": "b"}], "text_expected",
         "“question” must be text, this is a list"),
        ([chat("u: a"), {"messages": "b"}], "messages_not_list", "this is text"),
        ([{"prompt": "a", "chosen": "b", "rejected": "c"},
          {"prompt": "a", "chosen": [], "rejected": "c"}], "text_expected", "“chosen”"),
    ],
)  # fmt: skip
def test_row_of_another_shape_is_refused_with_its_line(
    upload: Upload, rows: list[dict[str, Any]], reason: str, said: str
) -> None:
    error = upload.error(jsonl(*rows), "x.jsonl")
    assert (error.reason, error.line) == (reason, 2)
    assert said in error.message


def test_value_nested_too_deeply_is_refused_with_its_line(upload: Upload) -> None:
    deep = b'{"a":' + b"[" * 150 + b"]" * 150 + b"}\n"
    error = upload.error(b'{"a":[1]}\n' + deep, "x.jsonl")
    assert (error.reason, error.line) == ("json_too_deep", 2)
    extra = b'{"messages":[{"role":"user","content":"x","y":' + b"[" * 150 + b"]" * 150 + b"}]}\n"
    error = upload.error(jsonl(chat("u: a")) + extra, "x.jsonl")
    assert (error.reason, error.line) == ("json_too_deep", 2)


@pytest.mark.slow
@pytest.mark.parametrize("odd", [False, True])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, odd: bool) -> None:
    """Check that 200 MB need no more memory than 50 MB, on the fast and the slow path."""
    rng = random.Random(1)
    words = ["lorem", "ipsum", "好的", "dolor", "sit", "amet"]
    rows = [chat("u: " + " ".join(rng.choices(words, k=40)), f"a: {n}") for n in range(20_000)]
    if odd:
        rows = [row | {"meta": {"n": n}} for n, row in enumerate(rows)]
    block = jsonl(*rows)
    peaks = []
    for megabytes in (50, 200):
        source, output = tmp_path / "upload", tmp_path / f"{megabytes}.parquet"
        with source.open("wb") as file:
            for _ in range(megabytes * 1_000_000 // len(block)):
                file.write(block)
        peaks.append(
            peak_of(
                [*PROGRAM, "--input", str(source), "--output", str(output), "--filename=x.jsonl"]
            )
        )
        assert row_count(output) == 20_000 * (megabytes * 1_000_000 // len(block))
        source.unlink()
    assert peaks[1] < 350
    assert peaks[1] < peaks[0] + 60

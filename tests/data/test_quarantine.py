"""Tests of the quarantine for bad rows: the recorded reasons and texts, and its limit."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform.data.canonical import iter_rows, row_count
from aiplatform.data.ingest import ingest
from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.reading_options import Reading
from tests.data.conftest import Upload, chat, jsonl, lines, peak_of

QUARANTINE = {"bad_rows": "quarantine"}
GOOD = [{"a": n, "b": str(n)} for n in range(20)]


def brief(upload: Upload) -> list[tuple[Any, str, str]]:
    return [
        (row.get("line", row.get("row")), row["reason"], row["raw"]) for row in upload.quarantined()
    ]


def test_invalid_json_lines_are_set_aside(upload: Upload) -> None:
    odd = b'{"a": \n[1]\n"x"\n\xff\xfe\n{"a": "\xc3"}\n{"\\u0000": 1}\n'
    data = jsonl(*GOOD[:5]) + odd + jsonl(*GOOD[5:])
    assert upload(data, "x.jsonl", **QUARANTINE) == GOOD
    assert brief(upload) == [
        (6, "json_invalid", '{"a": '),
        (7, "json_not_object", "[1]"),
        (8, "json_not_object", '"x"'),
        (9, "encoding_invalid", "\\xff\\xfe"),
        (10, "encoding_invalid", '{"a": "\\xc3"}'),
        (11, "column_name", '{"\\u0000": 1}'),
    ]
    found = upload.found["quarantined"]
    assert found["rows"] == 6
    assert found["reasons"] == {
        "column_name": 1, "encoding_invalid": 2, "json_invalid": 1, "json_not_object": 2,
    }  # fmt: skip
    assert upload.quarantined()[0]["message_zh"].startswith("第 6 行")


def test_rows_of_another_shape_are_set_aside(upload: Upload) -> None:
    good = [chat("u: hi", f"a: {n}") for n in range(4)]
    bad = [
        {"messages": [{"role": "alien", "content": "x"}]},
        {"messages": "text"},
        {"messages": [{"role": "user", "content": 7}]},
    ]
    assert upload(jsonl(*good[:2], *bad, *good[2:]), "x.jsonl", **QUARANTINE) == good
    assert brief(upload) == [
        (3, "role_unknown", json.dumps(bad[0])),
        (4, "messages_not_list", json.dumps(bad[1])),
        (5, "content_not_text", json.dumps(bad[2])),
    ]


def test_values_nested_too_deeply_are_set_aside(upload: Upload) -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    row = {"a": deep, "b": "x"}
    assert upload(jsonl(*GOOD, row), "x.jsonl", **QUARANTINE) == GOOD
    assert [reason for _, reason, _ in brief(upload)] == ["json_too_deep"]


def test_invalid_csv_records_are_set_aside(upload: Upload) -> None:
    data = b'a,b\r\n1,2\r\n1,2,3\r\n"x"y,4\r\n"multi\nline",\xff\r\n\x00,5\r\n6,"7\n8"\r\n'
    rows = upload(data, "x.csv", max_bad_share=0.9, **QUARANTINE)
    assert rows == [{"a": 1, "b": "2"}, {"a": 6, "b": "7\n8"}]
    assert brief(upload) == [
        (3, "csv_ragged", "1,2,3"),
        (4, "csv_quote", '"x"y,4'),
        (5, "encoding_invalid", '"multi\nline",\\xff'),
        (7, "nul_byte", "\\x00,5"),
    ]


def test_unclosed_csv_quote_refuses_the_file(upload: Upload) -> None:
    data = b'a,b\n1,2\n"3,4\n5,6\n'
    assert upload.error(data, "x.csv", **QUARANTINE).reason == "csv_quote"


def test_invalid_lines_of_text_are_set_aside(upload: Upload) -> None:
    data = b"one\n\xfftwo\nthree\nfo\x00ur\n"
    assert upload(data, "x.txt", **QUARANTINE) == [{"text": "one"}, {"text": "three"}]
    assert brief(upload) == [(2, "encoding_invalid", "\\xfftwo"), (4, "nul_byte", "fo\\x00ur")]


def test_invalid_elements_of_a_json_array_are_set_aside(upload: Upload) -> None:
    data = json.dumps(GOOD)[:-1].encode() + b',\n{"a": tru}]'
    assert upload(data, "x.json", **QUARANTINE) == GOOD
    assert brief(upload) == [(2, "json_invalid", '{"a": tru}')]


def test_invalid_parquet_values_are_set_aside(upload: Upload, tmp_path: Path) -> None:
    source = tmp_path / "upload"
    column = pa.array([b"one", b"\xff", b"three"], pa.binary())
    pq.write_table(pa.table({"x": column, "n": [1, 2, 3]}), source)
    rows = upload(source, "x.parquet", **QUARANTINE)
    assert rows == [{"x": "one", "n": 1}, {"x": "three", "n": 3}]
    assert brief(upload) == [(2, "binary_value", '{"x":"b\'\\\\xff\'","n":2}')]


def test_file_without_bad_rows_has_no_quarantine(upload: Upload) -> None:
    assert upload(jsonl(*GOOD), "x.jsonl", **QUARANTINE) == GOOD
    assert "quarantined" not in upload.found
    assert upload.quarantined() == []


@pytest.mark.parametrize(("good", "share"), [(0, 1.0), (20, 0.04), (3, 0.24)])
def test_too_many_bad_rows_refuse_the_file(upload: Upload, good: int, share: float) -> None:
    data = jsonl(*GOOD[:good]) + b"{\n"
    error = upload.error(data, "x.jsonl", max_bad_share=share, **QUARANTINE)
    assert error.reason == "too_many_bad"
    assert f"1 of {good + 1} rows" in error.message
    assert f"line {good + 1}" in error.message
    assert f"第 {good + 1} 行" in error.message_zh


def test_share_of_bad_rows_at_the_limit_is_accepted(upload: Upload) -> None:
    assert len(upload(jsonl(*GOOD[:3]) + b"{\n", "x.jsonl", max_bad_share=0.25, **QUARANTINE)) == 3


def test_second_reading_sets_each_bad_row_aside_once(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__", (400,)
    )
    rows: list[dict[str, Any]] = [{"a": n} for n in range(200)]
    data = jsonl(*rows[:100]) + b"{\n" + jsonl(*rows[100:]) + b'{"a": "late"}\n{\n'
    assert upload(data, "x.jsonl", **QUARANTINE) == [*rows, {"a": "late"}]
    assert [line for line, _, _ in brief(upload)] == [101, 203]


def test_without_quarantine_the_first_bad_row_refuses_the_file(upload: Upload) -> None:
    error = upload.error(jsonl(*GOOD) + b"{\n{\n", "x.jsonl")
    assert (error.reason, error.line) == ("json_invalid", 21)


def test_memory_does_not_grow_with_rows_set_aside(tmp_path: Path) -> None:
    source, output = tmp_path / "upload", tmp_path / "rows"
    peaks = []
    for blocks in (2, 20):
        line = b"{" + b"x" * 1000 + b"\n"
        block = (jsonl({"a": "y" * 1000}) * 3 + line) * 1000
        with source.open("wb") as file:
            for _ in range(blocks):
                file.write(block)
        command = [sys.executable, "-P", "-m", "aiplatform.data.ingest", "--max-bad-share=0.5"]
        options = ["--input", str(source), "--output", str(output), "--filename=x.jsonl"]
        peaks.append(peak_of([*command, *options, '--reading={"bad_rows": "quarantine"}']))
        assert row_count(output) == 3000 * blocks
        assert output.with_name("rows.quarantine").read_bytes().count(b"\n") == 1000 * blocks
    assert peaks[1] < peaks[0] + 60


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.booleans(), min_size=1, max_size=40),
    block=st.sampled_from([7, 64, 10**6]),
    seed=st.integers(0, 1000),
)
def test_exactly_the_bad_rows_are_set_aside(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bool], block: int, seed: int
) -> None:
    directory = tmp_path_factory.mktemp("aside")
    rng = random.Random(seed)
    faults = [b"{", b"[]", b"\xff", b'{"a": nul}', b'{"a": 1}{"a": 2}', b'{"a": "\\ud800"}']
    texts = [b'{"a": %d}' % n if good else rng.choice(faults) for n, good in enumerate(rows)]
    (directory / "upload").write_bytes(b"\n".join(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__", (block,)
        )
        if not any(rows):
            return
        ingest(
            directory / "upload",
            directory / "rows",
            filename="x",
            claimed=DataFormat.JSONL,
            reading=Reading(bad_rows="quarantine"),
            max_bad_share=1,
        )
    assert [row["a"] for row in iter_rows(directory / "rows")] == [
        n for n, good in enumerate(rows) if good
    ]
    aside = directory / "rows.quarantine"
    told = lines([aside.read_bytes()]) if aside.exists() else []
    assert [row["line"] for row in told] == [n for n, good in enumerate(rows, 1) if not good]

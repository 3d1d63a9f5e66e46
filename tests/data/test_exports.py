"""Tests of exports: rows that are downloaded and uploaded again are unchanged."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiplatform.data.blobs import hash_file
from aiplatform.data.canonical import iter_rows
from aiplatform.data.exports import EXPORTS
from aiplatform.data.ingest import ingest
from aiplatform.data.spreadsheets import csv_line, neutralise_formulas
from tests.data.conftest import jsonl

Rows = list[dict[str, Any]]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
nested = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
turn = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": st.none() | texts},
    optional={"tool_calls": st.lists(st.integers(0, 9), min_size=1, max_size=2)},
)
row = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "yes": st.none() | st.booleans(),
        "text": st.none() | texts,
        "any": nested,
        "messages": st.none() | st.lists(turn, max_size=3),
    }
)


def read(directory: Path, content: bytes, filename: str) -> tuple[str, Rows]:
    """Ingest ``content``; return the hash of its canonical Parquet file and its rows."""
    (directory / "upload").write_bytes(content)
    ingest(directory / "upload", directory / "rows", filename=filename)
    return hash_file(directory / "rows")[0], list(iter_rows(directory / "rows"))


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(row, min_size=1, max_size=8))
def test_export_as_json_lines_or_parquet_and_upload_restores_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows
) -> None:
    directory = tmp_path_factory.mktemp("exports")
    sha256, found = read(directory, jsonl(*rows), "rows.jsonl")
    exported = b"".join(EXPORTS["jsonl"](directory / "rows"))
    assert read(directory, exported, "rows.jsonl") == (sha256, found)
    # Nested values, mixed types in a column, and extra message fields are restored as well.
    read(directory, jsonl(*rows), "rows.jsonl")
    parquet = (directory / "rows").read_bytes()
    assert hashlib.sha256(parquet).hexdigest() == sha256
    assert read(directory, parquet, "rows.parquet")[1] == found


@pytest.mark.parametrize("text", ["{", "NaN", "[" * 3000, '{"a": 1}'])
def test_parquet_with_false_metadata_keeps_invalid_json_text(tmp_path: Path, text: str) -> None:
    metadata = {"aiplatform.version": "1", "aiplatform.json": '["text", "absent"]'}
    schema = pa.schema([("text", pa.string())], metadata=metadata)
    pq.write_table(pa.table({"text": [text, None]}, schema=schema), tmp_path / "file")
    _, rows = read(tmp_path, (tmp_path / "file").read_bytes(), "rows.parquet")
    expected = {"a": 1} if text.startswith("{") and len(text) > 1 else text
    assert [row["text"] for row in rows] == [expected, None]


@settings(max_examples=40, deadline=None)
@example(rows=[{"text": "t\n=1", "n": 0, "yes": False}])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                # CSV reads an empty text as missing and can't contain NUL bytes.
                "text": texts.map(lambda text: "t" + text.replace("\x00", "")),
                "n": st.integers(-(2**31), 2**31),
                "yes": st.booleans(),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_export_as_csv_and_upload_restores_rows_except_types_and_formulas(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows
) -> None:
    directory = tmp_path_factory.mktemp("exports")
    read(directory, jsonl(*rows), "rows.jsonl")
    exported = b"".join(EXPORTS["csv"](directory / "rows"))
    _, found = read(directory, exported, "rows.csv")
    # CSV does not distinguish digits as a number from digits as text, and the export disarms
    # formulas.
    assert [{**row, "n": int(row["n"]), "yes": str(row["yes"]).lower()} for row in found] == [
        {**row, "text": neutralise_formulas(row["text"]), "yes": str(row["yes"]).lower()}
        for row in rows
    ]


def test_defused_puts_an_apostrophe_before_formulas() -> None:
    for text, safe in (
        ("=1", "'=1"), (" =1", "' =1"), ("＝1", "'＝1"), ("-1", "'-1"), ("\n@x", "'\n'@x"),
        ("a;=1", "a;'=1"), ("a\n+1", "a\n'+1"), ("a; -cmd|'x'!A0", "a; '-cmd|'x'!A0"),
        ("a\n- one\n- two", "a\n- one\n- two"), ("a = b - c", "a = b - c"), ("你好", "你好"),
    ):  # fmt: skip
        assert neutralise_formulas(text) == safe
    assert csv_line(["a;b", 'c"d', " e", "f"]) == '"a;b","c""d"," e",f\r\n'
    assert csv_line([""]) == '""\r\n'

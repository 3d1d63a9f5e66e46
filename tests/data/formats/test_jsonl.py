"""Tests of the JSON Lines reader, on its slow and its fast path."""

import json
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform.data.errors import MalformedData
from aiplatform.data.formats import jsonl as jsonl_module
from aiplatform.data.formats import objects, text_source
from aiplatform.data.formats.source_file import SourceFile
from aiplatform.data.limits import MAX_ROW_BYTES
from tests.data.conftest import Upload, chat, jsonl

BLOCK = "aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__"
"""Attribute that determines the size of blocks."""


def test_blank_lines_are_skipped(upload: Upload) -> None:
    assert upload(b'\n {"a": 1}\r\n\n\t\n{"a": 2}', "x.jsonl") == [{"a": 1}, {"a": 2}]
    assert upload.found["rows"] == 2


def test_line_numbers_include_blank_lines(upload: Upload) -> None:
    gap = b"\n \t\r\n" * 200_000
    error = upload.error(b'{"a": 1}\n' + gap + b'  {"a": 2}\n' + gap + b'\v{"a": }\n', "x.jsonl")
    assert (error.reason, error.line) == ("json_invalid", 800_003)
    rows = upload(b'{"a": 1}\n' + gap + b' {"a": "\xc3\xa9"} \r\n' + gap, "x.jsonl")
    assert rows == [{"a": 1}, {"a": "é"}]


def test_absent_keys_are_null_and_columns_are_in_order_of_appearance(upload: Upload) -> None:
    rows = upload(jsonl({"b": 1}, {"a": "x", "b": 2}, {}, {"c": None}), "x.jsonl")
    assert rows == [
        {"b": 1, "a": None, "c": None},
        {"b": 2, "a": "x", "c": None},
        {"b": None, "a": None, "c": None},
        {"b": None, "a": None, "c": None},
    ]
    assert [c["name"] for c in upload.found["columns"]] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("data", "reason", "line", "said"),
    [
        (b'{"a":1}\n{"a":2\n{"a":3}\n', "json_invalid", 2, "column 7: expecting ',' delimiter"),
        (b'{"a":1}\n\n{"a":2},\n', "json_invalid", 3, "extra data"),
        (b'{"a":1}\n{"a":"x\n', "json_invalid", 2, "unterminated string"),
        (b'{"a":1}\n{a:1}\n', "json_invalid", 2, "property name"),
        (b'{"a":"\x00"}\n', "json_invalid", 1, "control character"),
        (b'{"a":"\t"}\n', "json_invalid", 1, "control character"),
        (b'{"a":"\\x"}\n', "json_invalid", 1, "escape"),
        (b'{"a":1}\nplain words\n', "json_invalid", 2, "expecting value"),
        (b'{"a":1} {"a":2}\n', "json_invalid", 1, "extra data"),
        (b'{"a":1}\n[1]\n', "json_not_object", 2, "this is a list"),
        (b'{"a":1}\n"x"\n', "json_not_object", 2, "this is text"),
        (b'{"a":1}\nnull\n', "json_not_object", 2, "this is null"),
        (b'{"a":1}\n{"a":"\xff"}\n', "encoding_unknown", 2, "byte 14"),
        ('{"a":"é"}\n{"a":"'.encode() + b'\xff"}\n', "encoding_invalid", 2, "byte 17"),
        (b'{"a":"\\ud83d"}\n', "json_surrogate", 1, "surrogate"),
        (b'{"\\ude00":1}\n', "json_surrogate", 1, "surrogate"),
        (b'{"a":1}\n{"a":' + b"[" * 200 + b"]" * 200 + b"}\n", "json_too_deep", 2, "100 levels"),
        (b'{"a":' + b'{"a":' * 99_999 + b"1" + b"}" * 100_000 + b"\n", "json_too_deep", 1, "deep"),
        (b'{"a":' + b"1" * 5000 + b"}\n", "json_invalid", 1, "thousands of digits"),
        (jsonl({f"k{i}": i for i in range(300_000)}), "columns_too_many", 1, "300000 columns"),
        (jsonl(*({f"k{i}": i} for i in range(2500))), "columns_too_many", 2001, "2001 columns"),
        (jsonl({"a": 1}, {"k" * 300: 1}), "column_name", 2, "255 characters"),
        (b'{"a\\u0000":1}\n', "column_name", 1, "NUL"),
        (b"{}\n{}\n", "columns_none", None, "no columns"),
        (b" \n\n", "no_rows", None, "no rows"),
    ],
)
def test_invalid_file_is_refused_with_its_line(
    upload: Upload, data: bytes, reason: str, line: int | None, said: str
) -> None:
    error = upload.error(data, "x.jsonl")
    assert (error.reason, error.line) == (reason, line)
    assert said in error.message


def test_invalid_line_far_into_the_file_is_refused_with_its_line(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that after the fast path has read many blocks, the slow path reports the right line."""
    monkeypatch.setattr(BLOCK, (100_000,))
    good = jsonl(*(chat("u: hi", f"a: {n}") for n in range(60_000)))
    for bad, reason in (
        (b'{"messages":[{"role":"user","content":"x"}\n', "json_invalid"),
        (b'{"messages":[{"role":"user","content":"\xc3\x28"}]}\n', "encoding_unknown"),
        (b'{"messages":[{"role":"robot","content":"x"}]}\n', "role_unknown"),
        (b'{"messages":{"role":"user","content":"x"}}\n', "messages_not_list"),
        (b'{"messages":[{"role":"user","content":7}]}\n', "content_not_text"),
    ):
        error = upload.error(good + bad + good, "x.jsonl")
        assert (error.reason, error.line) == (reason, 60_001)
        if reason == "encoding_unknown":
            assert error.byte == len(good) + bad.index(b"\xc3")


GOOD = jsonl(*({"a": f"x{n}", "n": n} for n in range(1000)))
BAD = b'{"a":"x","n":1\n'
ENDLESS = b'{"a":"' + b"x" * 9000 + b'","n":1}\n'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (GOOD + BAD + ENDLESS, "json_invalid"),
        (GOOD + ENDLESS + BAD, "line_too_long"),
        (GOOD + BAD + GOOD + ENDLESS, "json_invalid"),
        (GOOD + BAD + b"[1]\n" * 1000, "json_invalid"),
    ],
    ids=["before", "behind", "far before", "many"],
)
def test_first_of_two_errors_is_reported(
    upload: Upload, data: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put a line that is too long into the next block, which is read ahead of the first error."""
    monkeypatch.setattr(BLOCK, (2000,))
    monkeypatch.setattr(text_source, "MAX_ROW_BYTES", 5000)
    error = upload.error(data, "x.jsonl")
    assert (error.reason, error.line) == (reason, 1001)


def test_lines_set_aside_have_correct_line_numbers(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BLOCK, (2000,))
    rows = upload(GOOD + BAD + GOOD + BAD, "x.jsonl", bad_rows="quarantine")
    assert len(rows) == 2000
    assert [row["line"] for row in upload.quarantined()] == [1001, 2002]


@pytest.mark.parametrize("how", ["closed", "forgotten", "an error", "the end"])
def test_threads_end_with_the_reading(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BLOCK, (2000,))
    (tmp_path / "file").write_bytes(GOOD + (BAD if how == "an error" else b""))
    reader = jsonl_module.JsonLines(text_source.TextSource(SourceFile(tmp_path / "file")))
    before = readers()
    chunks = iter(reader)
    next(chunks)
    reader.hint = pa.schema([("a", pa.string()), ("n", pa.int64())])
    next(chunks)
    assert readers() > before
    match how:
        case "closed":
            chunks.close()
        case "forgotten":
            del chunks
        case "an error":
            with pytest.raises(MalformedData, match="line 1001"):
                list(chunks)
        case _:
            list(chunks)
    assert readers() <= before


def readers() -> set[threading.Thread]:
    """Return the threads that parse blocks; some may still be alive from earlier tests."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("json")}


def test_line_longer_than_the_limit_is_refused(upload: Upload) -> None:
    long = b'{"text":"' + b"x" * (MAX_ROW_BYTES - 20) + b'"}\n'
    assert len(upload(b'{"text":""}\n' + long, "x.jsonl")[1]["text"]) == MAX_ROW_BYTES - 20
    for ending in (b'"}\n', b""):
        endless = b'{"a":1}\n{"a":"' + b"x" * (MAX_ROW_BYTES + 1) + ending
        error = upload.error(endless, "x.jsonl")
        assert (error.reason, error.line) == ("line_too_long", 2)


def test_byte_order_marks_of_concatenated_files_are_skipped(upload: Upload) -> None:
    part = b"\xef\xbb\xbf" + jsonl({"a": 1}, {"a": 2})
    assert upload(part + part, "x.jsonl") == [{"a": 1}, {"a": 2}] * 2


def test_numbers_stay_exact(upload: Upload) -> None:
    data = (
        b'{"big":123456789012345678901234567890,"edge":9223372036854775807,"f":1,"odd":-0.0}\n'
        b'{"big":-9223372036854775809,"edge":-9223372036854775808,"f":0.1,"odd":1e-400}\n'
        b'{"big":1,"edge":9007199254740993,"f":9007199254740992,"odd":5e-324}\n'
    )
    first, second, third = upload(data, "x.jsonl")
    assert [r["big"] for r in (first, second, third)] == [
        123456789012345678901234567890, -9223372036854775809, 1,
    ]  # fmt: skip
    assert [r["edge"] for r in (first, second, third)] == [2**63 - 1, -(2**63), 2**53 + 1]
    assert [r["f"] for r in (first, second, third)] == [1.0, 0.1, 2.0**53]
    assert [r["odd"] for r in (first, second, third)] == [0.0, 0.0, 5e-324]


def test_column_with_integers_inexact_as_doubles_becomes_json(upload: Upload) -> None:
    data = b'{"x":0.5}\n{"x":9007199254740993}\n'
    assert upload(data, "x.jsonl") == [{"x": 0.5}, {"x": 9007199254740993}]
    assert upload.found["columns"] == [{"name": "x", "type": "json"}]


def test_nan_and_infinity_are_read(upload: Upload) -> None:
    rows = upload(b'{"x":NaN,"y":[NaN]}\n{"x":1e999,"y":null}\n{"x":-Infinity}\n', "x.jsonl")
    assert [str(row["x"]) for row in rows] == ["nan", "inf", "-inf"]
    assert rows[0]["y"] == ["NaN"]


def test_last_value_of_a_repeated_key_counts(upload: Upload) -> None:
    assert upload(b'{"a":1,"a":2}\n', "x.jsonl") == [{"a": 2}]


def test_values_of_mixed_types_are_kept(upload: Upload) -> None:
    rows: list[dict[str, Any]] = [
        {"a": 1}, {"a": "1"}, {"a": None}, {"a": True}, {"a": [1, {"b": None}]}, {"a": {}},
    ]  # fmt: skip
    assert upload(jsonl(*rows), "x.jsonl") == rows


def test_chunk_cells_are_limited_if_few_rows_are_wide(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MAX_CELLS", 1000)
    seen: list[int] = []
    real = objects.Chunk
    monkeypatch.setattr(
        objects,
        "Chunk",
        lambda c, n, p, **more: (seen.append(n * len(c)), real(c, n, p, **more))[1],
    )
    rows: list[dict[str, Any]] = [{"a": n} for n in range(500)]
    rows += [{f"k{i}": i for i in range(100)}]
    assert len(upload(jsonl(*rows), "x.jsonl")) == 501
    assert max(seen) <= 1000


NAMES = st.sampled_from(["a", "b", "c", "ü", "text", "label", "messages"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ROLES = st.sampled_from(["user", "assistant", "system"])
CONVERSATION = st.lists(st.fixed_dictionaries({"role": ROLES, "content": TEXT}), max_size=3)
PLAIN = st.one_of(
    TEXT, st.integers(-5, 5), st.integers(), st.booleans(), st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
TYPED_ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "messages": CONVERSATION,
            "a": TEXT,
            "b": st.integers(),
            "c": st.floats(allow_nan=False, allow_infinity=False),
            "ü": st.booleans(),
            "text": TEXT,
        },
    ),
    min_size=1,
    max_size=30,
)
MIXED_ROWS = st.lists(
    st.dictionaries(
        NAMES.filter(lambda n: n not in {"text", "messages"}),
        PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(TEXT, PLAIN, max_size=3),
        max_size=5,
    ),
    min_size=1,
    max_size=20,
)


def filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]


@settings(max_examples=60, deadline=None)
@given(rows=TYPED_ROWS | MIXED_ROWS, ascii_only=st.booleans(), block=st.integers(20, 400))
def test_round_trip_is_the_same_by_both_paths(
    tmp_path_factory, rows, ascii_only: bool, block: int
) -> None:
    """Check that the rows do not depend on the blocks or on the path that reads them."""
    data = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows).encode()
    if not any(rows):
        return
    upload = Upload(tmp_path_factory.mktemp("round"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BLOCK, (block,))
        fast = upload(data, "x.jsonl")
        content = upload.output.read_bytes()
        patch.setattr(jsonl_module.arrow_json, "parse", lambda *_: None)
        careful = upload(data, "x.jsonl")
    assert fast == filled(rows)
    assert careful == fast
    assert upload.output.read_bytes() == content


def test_fast_path_is_used_for_regular_rows(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bool] = []
    real = jsonl_module.arrow_json.parse
    monkeypatch.setattr(
        jsonl_module.arrow_json,
        "parse",
        lambda *arguments: (taken.append((batch := real(*arguments)) is not None), batch)[1],
    )
    rows = [chat("u: hi", "a: " + "x" * 500) | {"id": n, "w": n / 2} for n in range(20_000)]
    assert upload(jsonl(*rows), "x.jsonl") == rows
    assert taken.count(True) >= 4
    assert taken.count(False) == 0


@pytest.mark.parametrize(
    "odd",
    [
        b'{"a":"x","n":1} {"a":"y","n":2}\n',
        b'{"a":"x",\n"n":1}\n{"a":"y","n":2}{"a":"z","n":3}\n',
        b'{"a":"x","n":1}\n\n',
        b'\xef\xbb\xbf{"a":"x","n":1}\n',
        b'{"a":"x","n":1.0}\n',
        b'{"a":"x","n":1,"z":2}\n',
        b'{"a":null,"n":12345678901234567890123}\n',
        b'{"a":"\xff","n":1}\n',
        b'{"a":"x","a":"y","n":1}\n',
        b'{"n":1}\n',
        b'{"a":"x","n":1}',
        b' {"a":"x","n":1} \r\n',
        b'{"a":"x","n":-0}\n',
        b'{"a":"x","x":9007199254740993}\n',
        b'{"a":"x","x":9007199254740992}\n',
        b'{"a":"x","x":NaN}\n',
        b'{"a":"x","x":Inf}\n',
        b'{"a":"x","x":-1e999}\n',
    ],
)
def test_both_paths_give_the_same_result_for_unusual_lines(
    upload: Upload, odd: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BLOCK, (64,))
    good = jsonl(*({"a": f"é{n}", "n": n, "x": n / 2} for n in range(20)))

    def outcome() -> Any:
        try:
            return repr(upload(good + odd + good, "x.jsonl")), upload.output.read_bytes()
        except ValueError as error:
            return str(error)

    fast = outcome()
    monkeypatch.setattr(jsonl_module.arrow_json, "parse", lambda *_: None)
    assert outcome() == fast


@given(
    st.lists(st.sampled_from([b"{", b"}", b"\r", b"\n", b"x", b"}\n{", b"}\r\n{"])).map(b"".join)
)
def test_is_one_per_line_checks_all_line_ends(data: bytes) -> None:
    said = jsonl_module.arrow_json.is_one_per_line(data)
    lines = data.removesuffix(b"\n").split(b"\n")
    first, last = lines[0], len(lines) - 1
    assert said == (
        first.startswith(b"{")
        and all(
            line.startswith(b"{") and (n == last or line.removesuffix(b"\r").endswith(b"}"))
            for n, line in enumerate(lines)
        )
    )

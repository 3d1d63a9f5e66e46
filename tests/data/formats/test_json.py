"""Tests of the reader for JSON arrays and object sequences."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform.data.formats import json as json_module
from aiplatform.data.limits import MAX_ROW_BYTES
from tests.data.conftest import Upload, chat, jsonl
from tests.data.formats.test_jsonl import MIXED_ROWS, TYPED_ROWS, filled

ROWS: list[dict[str, Any]] = [
    {"a": 'brackets "in" text: ]}[{ \\', "b": [1, {"c": []}]},
    {"a": "line\nbreak", "b": {}},
    {"a": '中文 \\" 😀', "b": None},
]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("space", ["", " ", "\r\n\t"])
def test_array_in_any_layout_is_read(upload: Upload, indent: int | None, space: str) -> None:
    text = space + json.dumps(ROWS, indent=indent, ensure_ascii=False) + space
    assert upload(text.encode(), "x.json") == ROWS
    assert upload.found["format"] == "json"


def test_sequence_of_objects_is_read(upload: Upload) -> None:
    pretty = "\n".join(json.dumps(row, indent=2) for row in ROWS)
    assert upload(pretty.encode(), "x.json") == ROWS
    assert upload(jsonl(*ROWS), "x.json") == ROWS


@pytest.mark.parametrize(
    ("data", "reason", "line", "said"),
    [
        (b"[]", "no_rows", None, "no rows"),
        (b'[{"a":1},\n{"a":2}', "json_unclosed", 2, "never ends"),
        (b'[{"a":1},\n{"a":2', "json_unclosed", 2, "never ends"),
        (b'[{"a":1},\n{"a":"2}]', "json_unclosed", 2, "never ends"),
        (b'[{"a":1},\n\n', "json_unclosed", 3, "never ends"),
        (b'[{"a":1}\n{"a":2}]', "json_separator", 2, "found “{”"),
        (b'[{"a":1},\n]', "json_separator", 2, "found “]”"),
        (b'[{"a":1}]\n\nx', "json_separator", 3, "the end of the file"),
        (b'[{"a":1},\n[2]]', "json_not_object", 2, "this is a list"),
        (b'[{"a":1},\n"x"]', "json_not_object", 2, "this is text"),
        (b"[1, 2]", "json_not_object", 1, "this is a number"),
        (b"[null]", "json_not_object", 1, "this is null"),
        (b'{"a":1}\nfalse', "json_not_object", 2, "this is a boolean"),
        (b"hello", "json_separator", 1, "found “h”"),
        (b'[\n{"a":1},\n{\n"a":\n1,,\n}]', "json_invalid", 5, "column 3"),
        (b'[{"a":[1}]}]', "json_invalid", 1, "delimiter"),
        ('[{"a":"é"},\n{"a":"'.encode() + b'\xff"}]', "encoding_invalid", 2, "byte 19"),
        (b'[{"a":' + b"[" * 5000, "json_too_deep", 1, "100 levels"),
        (b'{"data":[{"a":1},{"a":2}]}', "json_wrapped", None, '"data"'),
        (b'\n{"n":2,"rows":[{"a":1}]}\n', "json_wrapped", None, '"rows"'),
    ],
)
def test_invalid_file_is_refused_with_its_line(
    upload: Upload, data: bytes, reason: str, line: int | None, said: str
) -> None:
    error = upload.error(data, "x.json")
    assert (error.reason, error.line) == (reason, line)
    assert said in error.message


def test_single_conversation_is_not_taken_for_a_wrapper(upload: Upload) -> None:
    assert upload(json.dumps(chat("u: data", "a: rows")).encode(), "x.json") == [
        chat("u: data", "a: rows")
    ]


def test_element_longer_than_the_limit_is_refused(upload: Upload) -> None:
    long = {"text": "x" * (MAX_ROW_BYTES - 100)}
    assert upload(json.dumps([long, long]).encode(), "x.json") == [long, long]
    for ending in ('"}]', ""):
        endless = '[{"a":1},\n{"a":"' + "x" * MAX_ROW_BYTES + ending
        error = upload.error(endless.encode(), "x.json")
        assert (error.reason, error.line) == ("line_too_long", 2)


def test_element_longer_than_the_limit_is_refused_with_its_first_line(upload: Upload) -> None:
    text = '[{"a":1},\n{\n"a":\n"' + "x" * MAX_ROW_BYTES + '"\n}\n]'
    error = upload.error(text.encode(), "x.json")
    assert (error.reason, error.line) == ("line_too_long", 2)


@settings(max_examples=60, deadline=None)
@given(
    rows=TYPED_ROWS | MIXED_ROWS,
    indent=st.sampled_from([None, 1]),
    block=st.integers(1, 200),
)
def test_round_trip_keeps_rows(tmp_path_factory, rows, indent: int | None, block: int) -> None:
    if not any(rows):
        return
    upload = Upload(tmp_path_factory.mktemp("round"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__", (block,)
        )
        patch.setattr(json_module, "BLOCK_BYTES", block)
        assert upload(json.dumps(rows, indent=indent).encode(), "x.json") == filled(rows)


@given(st.text(alphabet='{}[]",:\\ \n1a', max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_refused_or_read_like_python(tmp_path_factory, text: str) -> None:
    upload = Upload(tmp_path_factory.mktemp("nonsense"))
    try:
        rows = upload(f"[{text}]".encode(), "x.json")
    except ValueError:
        return
    expected = json.loads(f"[{text}]")
    assert rows == filled(expected)

"""Tests of the uploader's options for text files, which override the detected ones."""

from typing import Any

import pytest

from tests.data.conftest import Upload, jsonl


@pytest.mark.parametrize(
    ("data", "options", "rows", "dialect"),
    [
        # Without the option, the comma would be detected, because it gives a table, too.
        (b"a;b,c\n1;2,3\n", {"delimiter": ";"}, [{"a": 1, "b,c": "2,3"}], (";", '"', True)),
        (b"a~b\n1~2\n", {"delimiter": "~"}, [{"a": 1, "b": 2}], ("~", '"', True)),
        (b"a\tb\n1\t2\n", {"delimiter": "tab"}, [{"a": 1, "b": 2}], ("\t", '"', True)),
        (b"a,b\n'1,5',2\n", {"quote": "'"}, [{"a": "1,5", "b": 2}], (",", "'", True)),
        (b'a,b\n"1,2"\n', {"quote": "none"}, [{"a": '"1', "b": '2"'}], (",", None, True)),
        (
            b"1,2\n3,4\n",
            {"header": False},
            [{"column_1": 1, "column_2": 2}, {"column_1": 3, "column_2": 4}],
            (",", '"', False),
        ),
    ],
)  # fmt: skip
def test_given_dialect_overrides_the_detected_one(
    upload: Upload, data: bytes, options: dict[str, Any], rows: list[Any], dialect: Any
) -> None:
    assert upload(data, "x.csv", **options) == rows
    found = upload.found["details"]["dialect"]
    assert (found["delimiter"], found["quote"], found["header"]) == dialect


def test_text_file_with_a_delimiter_is_read_as_csv(upload: Upload) -> None:
    assert upload(b"a~b\n1~2\n", "x.txt", delimiter="~") == [{"a": 1, "b": 2}]
    assert upload.found["format"] == "csv"


@pytest.mark.parametrize(
    "options",
    [{"delimiter": ";"}, {"quote": "none"}, {"header": False}, {"types": {"a": "text"}}],
)
def test_csv_options_for_another_format_are_refused(
    upload: Upload, options: dict[str, Any]
) -> None:
    error = upload.error(jsonl({"a": 1}), "x.jsonl", **options)
    assert error.reason == "option_misplaced"


@pytest.mark.parametrize(
    ("encoding", "codec", "name"),
    [
        ("gbk", "gbk", "GB18030"),
        ("gb18030", "gb18030", "GB18030"),
        ("big5", "big5", "Big5"),
        ("shift-jis", "shift-jis", "Shift JIS"),
        ("utf-16", "utf-16", "UTF-16 LE"),
        ("utf-16", "utf-16-be", "UTF-16 BE"),
        ("utf-16-be", "utf-16-be", "UTF-16 BE"),
        ("utf-32", "utf-32", "UTF-32 LE"),
        ("utf-8", "utf-8-sig", "UTF-8"),
    ],
)
def test_given_encoding_is_used(upload: Upload, encoding: str, codec: str, name: str) -> None:
    text = "漢字,b\n日本,語\n"
    assert upload(text.encode(codec), "x.csv", encoding=encoding) == [{"漢字": "日本", "b": "語"}]
    assert upload.found["encoding"] == name


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252"])
def test_western_encodings_are_never_guessed(upload: Upload, encoding: str) -> None:
    data = "name\ncafé\n".encode("latin-1")
    assert upload.error(data, "x.csv").reason == "encoding_unknown"
    assert upload(data, "x.csv", encoding=encoding) == [{"name": "café"}]


def test_file_in_another_encoding_than_given_is_refused(upload: Upload) -> None:
    error = upload.error("a\n中\n".encode("gb18030"), "x.csv", encoding="utf-8")
    assert (error.reason, error.line) == ("encoding_invalid", 2)

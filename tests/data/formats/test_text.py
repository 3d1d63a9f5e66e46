"""Tests of the plain text reader."""

import pytest

from tests.data.conftest import Upload


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_each_line_except_blank_ones_is_a_row(upload: Upload, ends: str) -> None:
    data = ends.join(["one", "", "  two ", " \t", "三\u2028\x0b\x1c"]).encode()
    assert [row["text"] for row in upload(data, "x.txt")] == ["one", "  two ", "三\u2028\x0b\x1c"]
    assert upload.found["shape"] == "text"
    assert upload.found["format"] == "text"


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        ("é\n\x00x\n".encode(), "nul_byte", 2),
        ("é\n".encode() + b"ok\n\xff\n", "encoding_invalid", 3),
        (b" \n\n", "no_rows", None),
    ],
)
def test_invalid_file_is_refused_with_its_line(
    upload: Upload, data: bytes, reason: str, line: int | None
) -> None:
    error = upload.error(data, "x.txt")
    assert (error.reason, error.line) == (reason, line)


def test_json_in_a_text_file_is_text(upload: Upload) -> None:
    assert upload(b'{"a":1}\n', "x.txt") == [{"text": '{"a":1}'}]

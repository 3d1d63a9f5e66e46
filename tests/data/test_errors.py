"""Tests of the error messages in both languages."""

import re

import pytest

from aiplatform.data.errors import CODE, REASONS, MalformedData, Words, type_words

FIELD = re.compile(r"\{(\w+)")


@pytest.mark.parametrize("reason", REASONS)
def test_reason_has_the_same_parameters_in_both_languages(reason: str) -> None:
    words = REASONS[reason]
    assert words.en
    assert re.search("[\u4e00-\u9fff]", words.zh)
    assert set(FIELD.findall(words.en)) == set(FIELD.findall(words.zh))


def test_message_begins_with_the_position() -> None:
    error = MalformedData("csv_ragged", line=17, expected=3, found=4)
    assert str(error) == error.message == "line 17: the row has 4 fields, but the header has 3"
    assert error.message_zh == "第 17 行：该行有 4 个字段，而表头有 3 个"
    assert error.as_dict() == {
        "code": CODE,
        "reason": "csv_ragged",
        "message": error.message,
        "message_zh": error.message_zh,
        "line": 17,
    }


def test_message_contains_all_positions() -> None:
    error = MalformedData("encoding_invalid", line=2, byte=9, encoding="UTF-8", value=0xFF)
    assert error.message.startswith("line 2, byte 9: not valid UTF-8 (byte 0xff)")
    assert error.message_zh.startswith("第 2 行，第 9 字节：")
    assert MalformedData("binary_value", row=3, column="c").message.startswith("row 3: ")


def test_message_parameter_can_have_two_languages() -> None:
    error = MalformedData("archive", kind=Words("a ZIP", "压缩包"))
    assert "a ZIP" in error.message
    assert "压缩包" in error.message_zh


@pytest.mark.parametrize(
    ("value", "word"),
    [(None, "null"), (True, "a boolean"), (1, "a number"), (1.5, "a number"), ("", "text"),
     ([], "a list"), ({}, "an object")],
)  # fmt: skip
def test_type_words_names_json_types(value: object, word: str) -> None:
    assert type_words(value).en == word

"""Tests of encoding detection: an encoding is recognised with certainty, or refused."""

import codecs
import gzip

import pytest

from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.text_source import MIB, detect, to_utf8
from tests.data.conftest import Upload

CHINESE = (
    "今天天气很好，我们一起去公园玩。他说这个问题不是很难，但是需要时间来解决。\n"
    "人工智能的发展改变了我们的生活，也带来了新的挑战。\n"
)
JSON = '{"text":"你好，世界"}\n{"text":"plain"}\n'


def told(data: bytes) -> str:
    return detect(iter([data])).name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"plain", "UTF-8"),
        (JSON.encode(), "UTF-8"),
        (codecs.BOM_UTF8 + JSON.encode(), "UTF-8"),
        (JSON.encode("utf-16"), "UTF-16 LE"),
        (JSON.encode("utf-16-le"), "UTF-16 LE"),
        (JSON.encode("utf-16-be"), "UTF-16 BE"),
        (codecs.BOM_UTF16_BE + JSON.encode("utf-16-be"), "UTF-16 BE"),
        (JSON.encode("utf-32"), "UTF-32 LE"),
        (CHINESE.encode("gb18030"), "GB18030"),
        (CHINESE.encode("gbk"), "GB18030"),
        ("姓名,年龄\n张三,20\n".encode("gb2312"), "GB18030"),
        ((CHINESE * 30000).encode(), "UTF-8"),  # Cut below in the middle of a character.
    ],
)
def test_detect_recognises_encodings(data: bytes, name: str) -> None:
    assert told(data) == name
    assert told(data[: 2 * MIB]) == name


@pytest.mark.parametrize(
    "data",
    [
        "café au lait\nnaïve\n".encode("latin-1"),
        "안녕하세요 여러분 오늘은 날씨가 정말 좋네요 함께 공원에 갑시다\n".encode("euc-kr") * 9,
        "これは日本語の文章です。とても簡単です。\n".encode("shift-jis"),
        "今天天氣很好，我們一起去公園玩。他說這個問題不是很難\n".encode("big5"),
        "Привет, мир. Это обычный текст.\n".encode("cp1251"),
        bytes(range(128, 256)) * 10,
    ],
)
def test_detect_refuses_other_encodings(data: bytes) -> None:
    with pytest.raises(MalformedData) as caught:
        told(data)
    assert caught.value.reason == "encoding_unknown"


def test_detect_reports_the_place_of_the_first_invalid_byte() -> None:
    data = "好\nok\n".encode() + b"\xff" + "好".encode()
    with pytest.raises(MalformedData) as caught:
        told(data)
    error = caught.value
    assert (error.reason, error.line, error.byte) == ("encoding_invalid", 3, 7)


def test_chinese_after_megabytes_of_ascii_is_recognised(upload: Upload) -> None:
    ascii_lines = b'{"text":"%s"}\n' % (b"x" * 1000) * 3000
    data = ascii_lines + '{"text":"今天天气很好，我们一起去公园玩"}\n'.encode("gb18030")
    assert upload(data, "x.jsonl")[-1] == {"text": "今天天气很好，我们一起去公园玩"}
    assert upload.found["encoding"] == "GB18030"


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "gb18030", "utf-8-sig"])
def test_to_utf8_does_not_depend_on_chunks(codec: str) -> None:
    text = CHINESE + "😀 end\n"
    data = text.encode(codec)
    encoding = detect(iter([data]))
    for size in (1, 2, 3, 7, 1000):
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        if encoding.mark and size < encoding.mark:
            continue
        assert b"".join(to_utf8(iter(chunks), encoding)).decode() == text


@pytest.mark.parametrize("codec", ["utf-16-le", "gb18030"])
def test_to_utf8_reports_the_place_of_an_invalid_byte(codec: str) -> None:
    before, after = (CHINESE * 3).encode(codec), CHINESE.encode(codec)
    broken = {"utf-16-le": b"\x00\xd8\x41\x00", "gb18030": b"\xff\xff"}[codec]
    encoding = detect(iter([before]))
    for size in (5, 64, 10_000):
        data = before + broken + after
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        with pytest.raises(MalformedData) as caught:
            list(to_utf8(iter(chunks), encoding))
        assert caught.value.line == 7
        assert caught.value.byte == len(before)


def test_to_utf8_incomplete_character_at_the_end_is_refused() -> None:
    data = JSON.encode("utf-16-le")[:-1]
    with pytest.raises(MalformedData) as caught:
        list(to_utf8(iter([data]), detect(iter([data[:20]]))))
    assert caught.value.reason == "encoding_invalid"


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-be", "gb18030"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_json_lines_are_read_in_every_encoding(upload: Upload, codec: str, pack) -> None:
    rows = [{"text": "今天天气很好，我们一起去公园玩。"}, {"text": "他说这个问题不是很难"}]
    data = "".join(f'{{"text":"{row["text"]}"}}\n' for row in rows).encode(codec)
    assert upload(pack(data), "x.jsonl") == rows

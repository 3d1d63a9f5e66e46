"""Tests of names: Chinese characters are accepted, deceptive names are refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from aiplatform.protocol.names import MAX_NAME_BYTES, Name, nearest_name
from aiplatform.protocol.validation_errors import message_of, message_zh_of
from aiplatform.server.identity.schemas import Username

NAMES: TypeAdapter[str] = TypeAdapter(Name)
USERS: TypeAdapter[str] = TypeAdapter(Username)
BOTH = pytest.mark.parametrize("kind", [NAMES, USERS])


@BOTH
@pytest.mark.parametrize(
    "name", ["faq", "客服问答", "客服v2.1", "v2-客服", "㐀㐁", "〇三号", "第一", "x1", "一-二"]
)
def test_name_of_letters_and_chinese_characters_is_accepted(
    kind: TypeAdapter[str], name: str
) -> None:
    assert kind.validate_python(name) == name


@BOTH
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ａdmin", "write it as admin"),
        ("客服１", "write it as 客服1"),
        ("模型\u2f08", "write it as 模型人"),
        ("a一b", "looks like one of them"),
        ("v〇", "looks like one of them"),
        ("客服 问答", "Chinese characters"),
        ("客服/问答", "Chinese characters"),
        ("客服@v1", "Chinese characters"),
        ("-客服", "Chinese characters"),
        ("客服\u200b", "Chinese characters"),
        ("客服\u202e", "Chinese characters"),
        ("カ\uff70ト", "write it as"),
        ("カート", "Chinese characters"),
        ("客服：", "write it as 客服:"),
        ("客服。", "Chinese characters"),
        ("客服\n", "Chinese characters"),
        ("\ud83d\ude00", "valid Unicode"),
    ],
)
def test_deceptive_or_invalid_name_is_refused_in_both_languages(
    kind: TypeAdapter[str], name: str, text: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        kind.validate_python(name)
    (fault,) = refused.value.errors(include_url=False)
    assert text in message_of(fault)
    assert any("\u4e00" <= character <= "\u9fff" for character in message_zh_of(fault))


def test_name_is_stored_in_normal_form() -> None:
    compatibility = "\uf9b4\u5c0e"  # the first character is a compatibility form of U+9818
    assert NAMES.validate_python(compatibility) == "\u9818\u5c0e"


def test_name_too_long_for_a_file_name_is_refused() -> None:
    longest = "问" * (MAX_NAME_BYTES // 3)
    assert NAMES.validate_python(longest) == longest
    assert len(f".{longest}-{'v' * 50}.tar.gz.part".encode()) < 255
    with pytest.raises(ValidationError, match="at most 60 Chinese characters"):
        NAMES.validate_python(longest + "问")
    assert USERS.validate_python("王" * 50)
    with pytest.raises(ValidationError):
        USERS.validate_python("王" * 51)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("王小明", "王小明"),
        ("ＬＩＮ", "LIN"),
        ("a一b", "a-b"),
        ("../..", ""),
        ("王 小明！", "王-小明"),
        ("王" * 60, "王" * 40),
    ],
)
def test_nearest_name_is_valid(text: str, name: str) -> None:
    assert nearest_name(text, longest=40) == name
    if len(name) > 1:
        assert USERS.validate_python(name) == name

"""Tests of columns that contain conversations."""

from typing import Any

import pyarrow as pa
import pytest

from aiplatform.data.chunk import Chunk
from aiplatform.data.column_kinds import Kind
from aiplatform.data.column_kinds import build as build_kind
from aiplatform.data.conversations import CHAT, SHAREGPT, build, is_clean, spelling_of
from aiplatform.data.errors import MalformedData

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello"}


def column(*values: Any) -> Chunk:
    return Chunk({"messages": list(values)}, len(values), range(11, 11 + len(values)))


def built(*values: Any) -> pa.Array:
    return build(column(*values), "messages", CHAT)


def test_plain_conversations_have_two_fields() -> None:
    array = built([USER, ANSWER], [], [USER])
    assert array.type == CHAT.arrow_type(extra=False)
    assert array.to_pylist() == [[USER, ANSWER], [], [USER]]
    array.validate(full=True)


def test_null_conversations_and_texts_stay_null() -> None:
    silent = {"role": "assistant", "content": None}
    array = built(None, [USER, silent], None, [{"role": "assistant"}])
    assert array.to_pylist() == [None, [USER, silent], None, [silent]]
    array.validate(full=True)


def test_text_parts_are_joined_by_line_breaks() -> None:
    def parts(*texts: str) -> list[dict[str, Any]]:
        return [{"type": "text", "text": text, "image_url": None} for text in texts]

    array = built([{"role": "user", "content": parts("hi")}, ANSWER],
                  [{"role": "user", "content": parts("a", "", "b"), "name": "Lin"}])  # fmt: skip
    assert array.to_pylist() == [
        [{**USER, "extra": None}, {**ANSWER, "extra": None}],
        [{"role": "user", "content": "a\n\nb", "extra": '{"name":"Lin"}'}],
    ]


def test_other_keys_of_messages_are_kept_as_json_text() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": 1}], "name": None}
    array = built([USER], [call])
    assert array.type == CHAT.arrow_type(extra=True)
    assert array.to_pylist() == [
        [{**USER, "extra": None}],
        [{"role": "assistant", "content": None, "extra": '{"tool_calls":[{"id":1}]}'}],
    ]


def test_plain_conversations_fit_a_column_with_extras() -> None:
    plain = built(None, [USER, ANSWER], [], None, [ANSWER])
    wide = build_kind(plain, Kind.CHAT_EXTRA)
    assert wide.type == CHAT.arrow_type(extra=True)
    wide.validate(full=True)
    assert [
        m and [{k: v for k, v in x.items() if k != "extra"} for x in m] for m in wide.to_pylist()
    ] == plain.to_pylist()
    assert build_kind(plain.slice(1, 2), Kind.CHAT_EXTRA).to_pylist()[1] == []


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        ("hello", "messages_not_list", "this is text"),
        ({"role": "user"}, "messages_not_list", "this is an object"),
        ([USER, "hello"], "message_not_object", "message 2 of “messages”"),
        ([USER, {"role": "bot", "content": "x"}], "role_unknown", "has the role “bot”"),
        ([{"role": 5, "content": "x"}], "role_unknown", "has the role 5"),
        ([{"content": "x"}], "role_unknown", "null or none at all"),
        ([{"from": "human", "value": "x"}], "role_unknown", "supported are assistant, developer"),
        ([{"role": "user", "content": 5}], "content_not_text", "“content” must be text"),
        ([{"role": "user", "content": []}], "content_not_text", "a list"),
        ([{"role": "user", "content": [{"type": "text"}]}], "content_not_text", "a list"),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "x"},
                        {"type": "image_url", "image_url": {"url": "y"}},
                    ],
                }
            ],
            "content_not_text",
            "a list",
        ),
    ],
)
def test_invalid_conversation_is_refused_with_its_line(value: Any, reason: str, said: str) -> None:
    with pytest.raises(MalformedData) as caught:
        built([USER], None, value)
    assert caught.value.reason == reason
    assert caught.value.line == 13
    assert said in caught.value.message


def test_arrow_column_is_used_unchanged_only_if_clean() -> None:
    plain = built([USER, ANSWER], [USER])
    assert is_clean(plain)
    assert build(Chunk({"m": plain}, 2, range(2)), "m", CHAT) is plain
    assert not is_clean(built([USER, {"role": "assistant", "content": None}]))
    assert not is_clean(built([{**USER, "name": "x"}]))
    odd = pa.array([[{"role": "bot", "content": "x"}]], CHAT.arrow_type(extra=False))
    assert not is_clean(odd)
    with pytest.raises(MalformedData):
        build(Chunk({"m": odd}, 1, range(1)), "m", CHAT)
    assert not is_clean(pa.array([[1]]))


def test_spelling_of_uses_the_first_message() -> None:
    assert spelling_of([None, [], "x", [USER]]) is CHAT
    assert spelling_of([[{"from": "human", "value": "x"}]]) is SHAREGPT
    assert spelling_of([[{"text": "x"}], "x", [5]]) is None

"""Tests of recognising shapes and converting rows to messages."""

from typing import Any

import pyarrow as pa
import pytest

from aiplatform.data.conversations import CHAT, SHAREGPT
from aiplatform.data.shapes import recognise, rejected_messages, to_messages
from aiplatform.protocol.enums import DataShape

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello"}
SYSTEM = {"role": "system", "content": "be brief"}


def columns(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


HUMAN = {"from": "human", "value": "hi"}
GPT = {"from": "gpt", "value": "hello"}


@pytest.mark.parametrize(
    ("row", "shape", "renames"),
    [
        ({"messages": [USER, ANSWER]}, DataShape.CHAT, {}),
        ({"conversations": [USER]}, DataShape.CHAT, {"conversations": "messages"}),
        ({"id": 1, "conversation": [USER]}, DataShape.CHAT, {"conversation": "messages"}),
        ({"conversations": [HUMAN, GPT]}, DataShape.SHAREGPT, {}),
        ({"messages": [HUMAN]}, DataShape.SHAREGPT, {"messages": "conversations"}),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, DataShape.PREFERENCE, {}),
        ({"question": "a", "chosen": "b", "rejected": "c"}, DataShape.PREFERENCE,
         {"question": "prompt"}),
        ({"chosen": [USER, ANSWER], "rejected": [USER, ANSWER]}, DataShape.PREFERENCE, {}),
        ({"instruction": "a", "input": "", "output": "b"}, DataShape.ALPACA, {}),
        ({"instruction": "a", "context": "", "response": "b"}, DataShape.ALPACA,
         {"context": "input", "response": "output"}),
        ({"prompt": "a", "completion": "b"}, DataShape.PROMPT_COMPLETION, {}),
        ({"prompt": [USER], "completion": [ANSWER]}, DataShape.PROMPT_COMPLETION, {}),
        ({"question": "a", "answer": "b"}, DataShape.PROMPT_COMPLETION,
         {"question": "prompt", "answer": "completion"}),
        ({"input": "a", "output": "b"}, DataShape.PROMPT_COMPLETION,
         {"input": "prompt", "output": "completion"}),
        ({"prompt": "a", "completion": "b", "label": True}, DataShape.UNPAIRED_PREFERENCE, {}),
        ({"prompt": [USER], "completion": [ANSWER], "label": False},
         DataShape.UNPAIRED_PREFERENCE, {}),
        ({"instruction": "a", "input": "", "output": "b", "kto_tag": True},
         DataShape.UNPAIRED_PREFERENCE,
         {"instruction": "prompt", "output": "completion", "kto_tag": "label"}),
        ({"input": "a", "output": "b", "label": True}, DataShape.UNPAIRED_PREFERENCE,
         {"input": "prompt", "output": "completion"}),
        ({"question": "a", "completion": [ANSWER], "label": False},
         DataShape.UNPAIRED_PREFERENCE, {"question": "prompt"}),
        ({"completion": [USER, ANSWER], "label": False}, DataShape.UNPAIRED_PREFERENCE, {}),
        ({"messages": [USER, ANSWER], "label": True, "question": "a"},
         DataShape.UNPAIRED_PREFERENCE, {"messages": "completion"}),
        ({"conversations": [HUMAN, GPT], "kto_tag": False}, DataShape.UNPAIRED_PREFERENCE,
         {"conversations": "completion", "kto_tag": "label"}),
        ({"messages": [USER, ANSWER], "label": "good"}, DataShape.CHAT, {}),
        ({"prompt": "a", "completion": "b", "label": 1}, DataShape.PROMPT_COMPLETION, {}),
        ({"prompt": "a", "completion": "b", "label": "true"}, DataShape.PROMPT_COMPLETION, {}),
        ({"prompt": "a", "completion": "b", "label": None}, DataShape.PROMPT_COMPLETION, {}),
        ({"anchor": "a", "positive": "b", "id": 1}, DataShape.EMBEDDING_PAIRS, {}),
        ({"anchor": "a", "positive": "b", "negative": "c"}, DataShape.EMBEDDING_PAIRS, {}),
        ({"anchor": 1, "positive": "b"}, DataShape.TABLE, {}),
        ({"sentence1": "a", "sentence2": "b", "score": 0.5}, DataShape.SCORED_PAIRS, {}),
        ({"sentence_A": "a", "sentence_B": "b", "similarity_score": 1}, DataShape.SCORED_PAIRS,
         {"sentence_A": "sentence1", "sentence_B": "sentence2", "similarity_score": "score"}),
        ({"sentence1": "a", "sentence2": "b"}, DataShape.TABLE, {}),
        ({"text": "a", "label": 1}, DataShape.CLASSIFICATION, {}),
        ({"sentence": "a", "sentiment": "good"}, DataShape.CLASSIFICATION,
         {"sentence": "text", "sentiment": "label"}),
        ({"text": "a", "label": [1]}, DataShape.TEXT, {}),
        ({"text": "a", "url": "b"}, DataShape.TEXT, {}),
        ({"content": "a"}, DataShape.TEXT, {"content": "text"}),
        ({"a": 1, "b": 2}, DataShape.TABLE, {}),
        ({"question": "a", "answer": {"text": ["b"]}}, DataShape.TABLE, {}),
        ({"messages": "no list"}, DataShape.TABLE, {}),
        ({"messages": []}, DataShape.TABLE, {}),
        ({"text": 5}, DataShape.TABLE, {}),
        ({}, DataShape.TABLE, {}),
    ],
)  # fmt: skip
def test_recognise_tells_shape_and_renames(
    row: dict[str, Any], shape: DataShape, renames: dict[str, str]
) -> None:
    found = recognise(columns(row))
    assert found.shape is shape
    assert found.renames == renames


def test_recognise_one_valid_value_decides() -> None:
    found = recognise(columns({"messages": "oops"}, {"messages": None}, {"messages": [USER]}))
    assert found.shape is DataShape.CHAT
    assert found.conversations == {"messages": CHAT}
    assert recognise(columns({"text": 5}, {"text": "x"})).texts == {"text"}


def test_recognise_reads_words_as_booleans_only_without_types() -> None:
    rows = [{"prompt": "a", "completion": "b", "label": word} for word in ("TRUE", "", "false")]
    assert recognise(columns(*rows), untyped=True).shape is DataShape.UNPAIRED_PREFERENCE
    assert recognise(columns(*rows)).shape is DataShape.PROMPT_COMPLETION
    for word in ("yes", ""):
        row = {"prompt": "a", "completion": "b", "label": word}
        assert recognise(columns(row), untyped=True).shape is DataShape.PROMPT_COMPLETION


def test_recognise_tells_columns_of_conversations_and_texts() -> None:
    found = recognise(columns({"conversations": [HUMAN], "system": "x", "id": 1}))
    assert found.conversations == {"conversations": SHAREGPT}
    assert found.texts == {"system"}
    pair = recognise(columns({"prompt": "a", "chosen": [ANSWER], "rejected": [ANSWER]}))
    assert pair.conversations == {"chosen": CHAT, "rejected": CHAT}
    assert pair.texts == {"prompt"}
    assert recognise(columns({"text": "a", "label": 1})).texts == {"text"}


def test_recognise_never_renames_to_an_existing_column() -> None:
    found = recognise(columns({"messages": "note", "conversation": [USER]}))
    assert found.shape is DataShape.TABLE
    found = recognise(columns({"question": "a", "prompt": 5, "answer": "b"}))
    assert found.renames == {}


def test_recognise_accepts_arrow_columns() -> None:
    array = pa.array([None, [USER, ANSWER]], CHAT.arrow_type(extra=False))
    assert recognise({"messages": array}).shape is DataShape.CHAT
    assert recognise({"text": pa.array(["x"])}).shape is DataShape.TEXT


@pytest.mark.parametrize(
    ("row", "shape", "messages"),
    [
        ({"messages": [SYSTEM, USER, ANSWER]}, DataShape.CHAT, [SYSTEM, USER, ANSWER]),
        ({"messages": [{"role": "developer", "content": "be brief"}, USER]}, DataShape.CHAT,
         [SYSTEM, USER]),
        ({"messages": [{"role": "function", "content": "4", "name": "add"}]}, DataShape.CHAT,
         [{"role": "tool", "content": "4"}]),
        ({"conversations": [HUMAN, GPT]}, DataShape.SHAREGPT, [USER, ANSWER]),
        ({"conversations": [HUMAN, GPT], "system": "be brief"}, DataShape.SHAREGPT,
         [SYSTEM, USER, ANSWER]),
        ({"conversations": [{"from": "system", "value": "be brief"}, HUMAN], "system": "other"},
         DataShape.SHAREGPT, [SYSTEM, USER]),
        ({"instruction": "hi", "input": None, "output": "hello"}, DataShape.ALPACA,
         [USER, ANSWER]),
        ({"instruction": "add", "input": "1 2", "output": "3"}, DataShape.ALPACA,
         [{"role": "user", "content": "add\n1 2"}, {"role": "assistant", "content": "3"}]),
        ({"instruction": "hi", "output": "hello", "system": "be brief",
          "history": [["a", "b"]]}, DataShape.ALPACA,
         [SYSTEM, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
          USER, ANSWER]),
        ({"prompt": "hi", "completion": "hello"}, DataShape.PROMPT_COMPLETION, [USER, ANSWER]),
        ({"prompt": [SYSTEM, USER], "completion": [ANSWER]}, DataShape.PROMPT_COMPLETION,
         [SYSTEM, USER, ANSWER]),
        ({"prompt": "hi", "chosen": "hello", "rejected": "go"}, DataShape.PREFERENCE,
         [USER, ANSWER]),
        ({"prompt": "hi", "chosen": [USER, ANSWER], "rejected": [USER]}, DataShape.PREFERENCE,
         [USER, ANSWER]),
        ({"chosen": [USER, ANSWER], "rejected": [USER]}, DataShape.PREFERENCE, [USER, ANSWER]),
        ({"prompt": "add", "input": "1 2", "completion": "4", "label": False},
         DataShape.UNPAIRED_PREFERENCE,
         [{"role": "user", "content": "add\n1 2"}, {"role": "assistant", "content": "4"}]),
        ({"prompt": [USER], "completion": [ANSWER], "system": "be brief", "label": True},
         DataShape.UNPAIRED_PREFERENCE, [SYSTEM, USER, ANSWER]),
        ({"completion": [HUMAN, GPT], "system": "be brief", "label": True},
         DataShape.UNPAIRED_PREFERENCE, [SYSTEM, USER, ANSWER]),
        ({"completion": [ANSWER], "label": True}, DataShape.UNPAIRED_PREFERENCE, None),
    ],
)  # fmt: skip
def test_to_messages_converts_each_shape(
    row: dict[str, Any], shape: DataShape, messages: list[dict[str, str]] | None
) -> None:
    assert to_messages(row, shape) == messages


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"messages": None}, DataShape.CHAT),
        ({"messages": []}, DataShape.CHAT),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, DataShape.CHAT),
        ({"instruction": "a", "output": None}, DataShape.ALPACA),
        ({"instruction": "a", "output": "b", "history": ["no pair"]}, DataShape.ALPACA),
        ({"prompt": "a", "completion": None}, DataShape.PROMPT_COMPLETION),
        ({"prompt": None, "completion": "b"}, DataShape.PROMPT_COMPLETION),
        ({"prompt": None, "chosen": "b", "rejected": "c"}, DataShape.PREFERENCE),
        ({"text": "a"}, DataShape.TEXT),
        ({"text": "a", "label": "b"}, DataShape.CLASSIFICATION),
        ({"messages": [USER]}, DataShape.TABLE),
    ],
)
def test_to_messages_incomplete_row_is_none(row: dict[str, Any], shape: DataShape) -> None:
    assert to_messages(row, shape) is None


def test_rejected_messages_end_with_the_rejected_side() -> None:
    row = {"prompt": "hi", "chosen": "hello", "rejected": "go"}
    assert rejected_messages(row) == [USER, {"role": "assistant", "content": "go"}]

"""Tests of column mappings given by a user."""

from typing import Any

import pytest
from pydantic import ValidationError

from aiplatform.data.errors import MalformedData
from aiplatform.data.shapes import recognise, to_messages
from aiplatform.protocol.enums import DataShape
from aiplatform.protocol.reading_options import Reading
from tests.data.conftest import Upload, jsonl


@pytest.mark.parametrize(
    ("row", "mapped", "shape"),
    [
        ({"q": "x", "a": "y"}, {"q": "prompt", "a": "completion"}, "prompt_completion"),
        ({"q": "x", "a": "y", "s": "z"},
         {"q": "prompt", "a": "completion", "s": "system"}, "prompt_completion"),
        ({"good": "x", "bad": "y"}, {"good": "chosen", "bad": "rejected"}, "preference"),
        ({"review": "x", "stars": 5}, {"review": "text", "stars": "label"}, "classification"),
        ({"body": "x", "label": "y"}, {"body": "text"}, "classification"),
        ({"body": "x", "n": 1}, {"body": "text"}, "text"),
        ({"do": "x", "done": "y"}, {"do": "instruction", "done": "output"}, "alpaca"),
        ({"talk": [{"role": "user", "content": "x"}]}, {"talk": "messages"}, "chat"),
        ({"talk": [{"from": "human", "value": "x"}], "who": "z"},
         {"talk": "conversations", "who": "system"}, "sharegpt"),
        # The mapping overrides the shape that would be recognised without it.
        ({"instruction": "x", "output": "y"},
         {"instruction": "prompt", "output": "completion"}, "prompt_completion"),
        ({"text": "x", "label": "y"}, {"text": "label", "label": "text"}, "classification"),
        ({"q": "x", "a": "y", "good": False},
         {"q": "prompt", "a": "completion", "good": "label"}, "unpaired_preference"),
        ({"talk": [{"role": "user", "content": "x"}], "good": True},
         {"talk": "completion", "good": "label"}, "unpaired_preference"),
        ({"messages": [{"role": "user", "content": "x"}], "label": True},
         {"messages": "messages"}, "chat"),
        # Labels count only if the mapping names them.
        ({"prompt": "x", "completion": "y", "label": True},
         {"prompt": "prompt", "completion": "completion"}, "prompt_completion"),
    ],
)  # fmt: skip
def test_mapping_columns_gives_the_shape(
    upload: Upload, row: dict[str, Any], mapped: dict[str, str], shape: str
) -> None:
    rows = upload(jsonl(row), "x.jsonl", map=mapped)
    assert upload.found["shape"] == shape
    assert rows == [{mapped.get(name, name): value for name, value in row.items()}]
    assert upload.found["map"] == mapped


def test_conversations_get_the_column_of_their_spelling(upload: Upload) -> None:
    sharegpt = [{"from": "human", "value": "x"}]
    rows = upload(jsonl({"talk": sharegpt}), "x.jsonl", map={"talk": "messages"})
    assert (upload.found["shape"], rows) == ("sharegpt", [{"conversations": sharegpt}])
    rows = upload(jsonl({"conversations": sharegpt}), "x.jsonl", map={"conversations": "messages"})
    assert rows == [{"conversations": sharegpt}]
    taken = jsonl({"talk": sharegpt, "conversations": "y"})
    error = upload.error(taken, "x.jsonl", map={"talk": "messages"})
    assert error.reason == "map_taken"


def test_mapped_columns_become_messages(upload: Upload) -> None:
    data = b"frage,antwort\nwas?,das.\n"
    rows = upload(data, "x.csv", map={"frage": "prompt", "antwort": "completion"})
    assert to_messages(rows[0], DataShape.PROMPT_COMPLETION) == [
        {"role": "user", "content": "was?"},
        {"role": "assistant", "content": "das."},
    ]


@pytest.mark.parametrize(
    ("row", "mapped", "reason"),
    [
        ({"q": "x"}, {"z": "prompt"}, "column_unknown"),
        ({"q": "x", "prompt": "y"}, {"q": "prompt"}, "map_taken"),
        ({"q": "x"}, {"q": "prompt"}, "map_no_shape"),
        ({"q": "x", "a": "y"}, {"q": "prompt", "a": "label"}, "map_no_shape"),
        (
            {"q": "x", "a": "y", "good": "yes"},
            {"q": "prompt", "a": "completion", "good": "label"},
            "map_no_shape",
        ),
        ({"q": 1, "a": 2}, {"q": "prompt", "a": "completion"}, "map_no_shape"),
        ({"q": "x"}, {"q": "messages"}, "map_no_shape"),
    ],
)
def test_mapping_that_fits_no_shape_is_refused(
    upload: Upload, row: dict[str, Any], mapped: dict[str, str], reason: str
) -> None:
    assert upload.error(jsonl(row), "x.jsonl", map=mapped).reason == reason


def test_value_that_does_not_fit_the_mapping_is_refused_with_its_line(upload: Upload) -> None:
    data = jsonl({"q": "x", "a": "y"}, {"q": 1, "a": "y"})
    error = upload.error(data, "x.jsonl", map={"q": "prompt", "a": "completion"})
    assert (error.reason, error.line) == ("text_expected", 2)


def test_label_that_is_no_boolean_is_refused_with_its_line(upload: Upload) -> None:
    row = {"prompt": "x", "completion": "y"}
    rows = [row | {"label": True}] * 100
    error = upload.error(jsonl(*rows, row | {"label": "good"}), "x.jsonl")
    assert (error.reason, error.line) == ("boolean_expected", 101)
    csv = b"prompt,completion,label\n" + b"x,y,true\n" * 99 + b"x,y,\n" + b"x,y,maybe\n"
    error = upload.error(csv, "x.csv")
    assert (error.reason, error.line) == ("boolean_expected", 102)
    error = upload.error(csv, "x.csv", types={"label": "text"})
    assert error.reason == "type_of_content"
    assert "it is boolean" in str(error)


def test_labels_of_csv_are_booleans(upload: Upload) -> None:
    rows = upload(b"question,answer,kto_tag\nx,y,True\nx,z,\n", "x.csv")
    assert upload.found["shape"] == "unpaired_preference"
    assert [row["label"] for row in rows] == [True, None]


@pytest.mark.parametrize(
    "options",
    [
        {"map": {"a": "prompt", "b": "prompt"}},
        {"map": {"a": "nonsense"}},
        {"delimiter": ",,"},
        {"delimiter": "\n"},
        {"quote": "ab"},
        {"delimiter": ";", "quote": ";"},
        {"encoding": "rot13"},
        {"bad_rows": "ignore"},
        {"nonsense": 1},
    ],
)
def test_reading_with_invalid_options_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Reading(**options)


def test_recognise_empty_mapping_is_no_mapping() -> None:
    columns: dict[str, Any] = {"question": ["x"], "answer": ["y"]}
    assert recognise(columns) == recognise(columns, {})
    with pytest.raises(MalformedData):
        recognise(columns, {"question": "text", "answer": "completion"})

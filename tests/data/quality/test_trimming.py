"""Tests of shortening rows that are too long."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiplatform.data.canonical import iter_rows
from aiplatform.data.errors import MalformedData
from aiplatform.data.operation_specs import Job
from aiplatform.data.quality.report import make_report
from aiplatform.data.quality.trimming import shorter_text
from aiplatform.data.row_operations import execute
from tests.data.conftest import Upload, chat, jsonl
from tests.data.quality.conftest import TEMPLATE

Trimmed = Callable[..., list[dict[str, Any]]]
LONG = "".join(f"Sentence number {n} is here. " for n in range(40))


@pytest.fixture
def trimmed(upload: Upload, tmp_path: Path, weights: Path) -> Trimmed:
    """Return a function that trims rows and returns the remaining rows."""

    def trim(*rows: dict[str, Any], changed: int, stay: int = 0, most: int = 120) -> Any:
        upload(jsonl(*rows), "x.jsonl")
        do = {
            "operation": "fix", "fix": {"fixes": {"over_length": "trim"}},
            "tokenizer": str(weights), "max_length": most,
        }  # fmt: skip
        job = Job.model_validate({"base": upload.output, "output": tmp_path / "fixed", "do": do})
        answer = execute(job)
        path = Path(answer["outputs"][0]["path"])
        left = make_report(path, tokenizer=weights, max_length=most, progress=lambda _: None)
        assert left["tokens"]["over_length"] == stay
        assert (answer["changed"], answer["deleted"]) == (changed, 0)
        return list(iter_rows(path))

    return trim


def test_trimmed_text_ends_with_a_sentence(trimmed: Trimmed) -> None:
    rows = trimmed({"text": LONG}, {"text": "Short."}, {"text": None}, changed=1)
    assert LONG.startswith(rows[0]["text"])
    assert rows[0]["text"].endswith(" is here.")
    assert rows[1:] == [{"text": "Short."}, {"text": None}]


def test_trimmed_text_is_as_long_as_possible(trimmed: Trimmed) -> None:
    [cut] = trimmed({"text": LONG}, changed=1)
    more = LONG[: LONG.index(".", len(cut["text"])) + 1]
    [again] = trimmed({"text": more}, changed=1)
    assert again == cut


def test_trimmed_conversation_ends_with_an_answer(trimmed: Trimmed) -> None:
    turns = [f"{'ua'[n % 2]}: turn {n} of a talk" for n in range(20)]
    [row] = trimmed(chat("s: be brief", *turns), changed=1)
    whole = chat("s: be brief", *turns)["messages"]
    assert row["messages"] == whole[: len(row["messages"])]
    assert row["messages"][-1]["role"] == "assistant"
    assert 3 <= len(row["messages"]) < 21


def test_label_stays_with_the_last_answer(trimmed: Trimmed) -> None:
    talk = chat("u: Hi.", "a: Ho.", "u: Tell me.", f"a: {LONG}")["messages"]
    [row] = trimmed({"messages": talk, "label": False}, changed=1)
    assert row["completion"][:3] == talk[:3]
    assert row["completion"][3]["content"].endswith(" is here.")


def test_first_answer_that_is_too_long_is_cut_after_a_sentence(trimmed: Trimmed) -> None:
    long = chat("u: Tell me.", f"a: {LONG}", "u: More.", "a: No.")
    long["messages"][1]["weight"] = 1
    row, other = trimmed(long, chat("u: Hi.", "a: Ho."), changed=1)
    question, answer = row["messages"]
    assert question["content"] == "Tell me."
    assert answer["content"].endswith(" is here.")
    assert answer["weight"] == 1
    assert other == chat("u: Hi.", "a: Ho.")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"instruction": "Tell.", "input": "", "output": LONG}, "output"),
        ({"prompt": "Tell.", "completion": LONG}, "completion"),
        ({"prompt": "Tell.", "chosen": "Yes.", "rejected": LONG}, "rejected"),
        ({"prompt": "Tell.", "input": "All.", "completion": LONG, "label": True}, "completion"),
        ({"conversations": [{"from": "human", "value": "Tell."}, {"from": "gpt", "value": LONG}]},
         "conversations"),
    ],
    ids=["alpaca", "completion", "preference", "unpaired", "sharegpt"],
)  # fmt: skip
def test_trim_cuts_the_answer_of_each_shape(
    trimmed: Trimmed, row: dict[str, Any], column: str
) -> None:
    [cut] = trimmed(row, changed=1)
    assert {**cut, column: None} == {**row, column: None}
    text = cut[column][-1]["value"] if isinstance(cut[column], list) else cut[column]
    assert text.endswith(" is here.")


def test_trim_keeps_everything_else(trimmed: Trimmed) -> None:
    """Check that other columns, other message keys, and rows that fit are kept."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"x": [1, None]}}}]
    talk = chat("s: be brief", "u: Tell me.", "a: Yes.", f"u: {LONG}", "a: No.")["messages"]
    talk[1]["name"] = "Lin"
    talk[2]["weight"] = 0.5
    rest = {"tools": tools, "id": 2**60, "score": 0.25, "note": None}
    calls = [{"id": 1, "f": {"x": []}}]
    called = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": calls},
    ]
    rows: list[dict[str, Any]] = [
        {"messages": talk, **rest},
        {"messages": called, **rest, "note": "odd"},
        {"messages": None, **rest},
        {"messages": [], **rest},
    ]
    left = trimmed(*rows, changed=1)
    assert left == [{"messages": talk[:3], **rest}, *rows[1:]]


def test_trim_uses_tokenizer_and_template_of_the_model(
    trimmed: Trimmed, weights: Path, tmp_path: Path, upload: Upload
) -> None:
    """Use words with different token lengths: known words have long tokens, unknown ones short."""
    known, strange = "hello world, this. " * 30, "qzxjk vwyqp, zqxj. " * 30
    short, shorter = (trimmed({"text": text}, changed=1)[0]["text"] for text in (known, strange))
    assert len(short) > 2 * len(shorter)
    # Another template adds more text to each turn, so less of the answer fits.
    own = trimmed(chat("u: Hi.", f"a: {LONG}"), changed=1)[0]["messages"][1]["content"]
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).write_bytes((weights / name).read_bytes())
    config = json.loads((bare / "tokenizer_config.json").read_text())
    config["chat_template"] = TEMPLATE.replace("<|im_start|>", "a long beginning of each turn: ")
    (bare / "tokenizer_config.json").write_text(json.dumps(config))
    upload(jsonl(chat("u: Hi.", f"a: {LONG}")), "x.jsonl")
    do = {"operation": "fix", "fix": {"fixes": {"over_length": "trim"}},
          "tokenizer": str(bare), "max_length": 120}  # fmt: skip
    job = {"base": upload.output, "output": tmp_path / "by-other", "do": do}
    [made] = execute(Job.model_validate(job))["outputs"]
    [row] = iter_rows(Path(made["path"]))
    assert len(row["messages"][1]["content"]) < len(own)


def test_row_with_a_question_that_is_too_long_stays(trimmed: Trimmed) -> None:
    rows = [chat(f"u: {LONG}", "a: Yes."), {"messages": [{"role": "user", "content": LONG}]}]
    assert trimmed(*rows, changed=0, stay=2) == rows


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("One two. Three four five.", "One two."),
        ("第一句话。第二句话很长很长。", "第一句话。"),
        ("One. two three four five six", "One. two three"),
        ("onetwothreefourfivesix", "onetwothreefou"),
        ("", None),
    ],
)
def test_shorter_text_ends_with_a_sentence_or_word(text: str, kept: str | None) -> None:
    limit = 10 if "。" in text else 14
    assert shorter_text(text, 100, lambda t: len(t) <= limit) == kept


def test_trim_without_a_base_model_is_refused(upload: Upload, tmp_path: Path) -> None:
    upload(jsonl({"text": LONG}), "x.jsonl")
    do = {"operation": "fix", "fix": {"fixes": {"over_length": "trim"}}}
    job = Job.model_validate({"base": upload.output, "output": tmp_path / "fixed", "do": do})
    with pytest.raises(MalformedData) as raised:
        execute(job)
    assert raised.value.reason == "fix_needs_model"

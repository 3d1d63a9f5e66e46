"""Tests of row encoding: only the assistant's messages and their end tokens are learned."""

from pathlib import Path
from typing import Any

import pytest

from aiplatform.runtime import rows as rows_module
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.rows import IGNORED, Encoded, encode_dataset, mark_answers
from tests.runtime.conftest import MakeDataset, chat
from tests.tiny_model import CHAT_TEMPLATE, make_tiny_model


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model / "weights")


def learned(tokenizer: Any, row: Encoded) -> str:
    """Return the text of the tokens that the row's labels mark as learned."""
    return str(tokenizer.decode([label for label in row.labels if label != IGNORED]))


def learn(tokenizer: Any, row: dict[str, Any]) -> str:
    marked = mark_answers(tokenizer, row["messages"])
    assert not isinstance(marked, str), marked
    return "|".join(marked.text[start:stop] for start, stop in marked.spans)


def test_encode_dataset_learns_only_answer_and_end_token(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    data = make_dataset([chat("What is 2+2?", "It is 4.")])
    (row,) = encode_dataset(data, tokenizer, max_length=200).rows
    assert learned(tokenizer, row) == "It is 4.<|im_end|>"
    assert row.labels[-2] == tokenizer.eos_token_id, "the end of the answer is trained"
    assert row.labels[-1] == IGNORED, "the template's line break is not"
    assert tokenizer.pad_token_id == tokenizer.eos_token_id, "which is what makes this a trap"


def test_encode_dataset_learns_all_turns_of_the_assistant(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    data = make_dataset([chat("Hi", "Hello.", "And?", "Nothing.", system="Be brief.")])
    (row,) = encode_dataset(data, tokenizer, max_length=200).rows
    assert learned(tokenizer, row) == "Hello.<|im_end|>Nothing.<|im_end|>"


def test_labels_equal_the_tokens_at_their_positions(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    data = make_dataset([chat("a b", "c d", "e", "f g h")])
    (row,) = encode_dataset(data, tokenizer, max_length=200).rows
    at = [i for i, label in enumerate(row.labels) if label != IGNORED]
    assert [row.labels[i] for i in at] == [row.input_ids[i] for i in at]
    assert len(row.labels) == len(row.input_ids)


def test_tokens_before_the_answer_equal_the_generation_prompt(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    row = chat("What is the capital of France?", "Paris.")
    (encoded,) = encode_dataset(make_dataset([row]), tokenizer, max_length=200).rows
    prompt = tokenizer.apply_chat_template(
        row["messages"][:1], add_generation_prompt=True, tokenize=True
    )["input_ids"]
    first = next(i for i, label in enumerate(encoded.labels) if label != IGNORED)
    assert encoded.input_ids[:first].tolist() == prompt


def test_messages_after_the_last_answer_are_cut_off(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    data = make_dataset([chat("Hi", "Hello.", "Never answered")])
    (row,) = encode_dataset(data, tokenizer, max_length=200).rows
    assert "Never answered" not in tokenizer.decode(row.input_ids)
    assert learned(tokenizer, row) == "Hello.<|im_end|>"


@pytest.mark.parametrize(
    "answer", ["", "  padded  ", "你好。\n\n再见。", "```\ncode\n```", "🙂", "Hi\n"]
)
def test_mark_answers_marks_unusual_answers_completely(tokenizer: Any, answer: str) -> None:
    assert learn(tokenizer, chat("Hi", answer)) == f"{answer}<|im_end|>"


def test_mark_answers_finds_answers_equal_to_their_questions(tokenizer: Any) -> None:
    marked = mark_answers(tokenizer, chat("same", "same", "same", "same")["messages"])
    assert not isinstance(marked, str)
    assert learn(tokenizer, chat("same", "same", "same", "same")) == "same<|im_end|>|same<|im_end|>"
    assert marked.spans[0][0] > marked.text.index("same") + 4


def test_mark_answers_accepts_conversations_that_begin_with_an_answer(tokenizer: Any) -> None:
    messages = [
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
    ]
    assert learn(tokenizer, {"messages": messages}) == "Welcome.<|im_end|>|Yes?<|im_end|>"


# This template keeps the reasoning of only the last turn, like those of Qwen3 and DeepSeek-R1.
DROPS_REASONING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# This template has no end tokens, so the platform adds one to at least the last turn.
NO_END = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
# As in Llama 2, the question is wrapped, and the answer follows on the same line.
WRAPS_QUESTIONS = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content | trim }}<|im_end|>{% endif %}{% endfor %}"
)
# The generation prompt contains more text than precedes an answer in a conversation.
OPENS_A_THOUGHT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (DROPS_REASONING, "Hello.<|im_end|>|<think>\n\n</think>\n\nYes.<|im_end|>"),
        (NO_END, " Hello.| Yes.<|im_end|>"),
        (WRAPS_QUESTIONS, " Hello.<|im_end|>| Yes.<|im_end|>"),
        (OPENS_A_THOUGHT, "Hello.<|im_end|>|Yes.<|im_end|>"),
    ],
)
def test_mark_answers_finds_turns_that_the_template_changes(
    tokenizer: Any, template: str, expected: str
) -> None:
    tokenizer.chat_template = template
    try:
        assert learn(tokenizer, chat("Hi", "Hello.", "Sure?", "Yes.")) == expected
    finally:
        tokenizer.chat_template = CHAT_TEMPLATE


NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + CHAT_TEMPLATE
)


def test_system_message_joins_the_question_if_the_template_has_no_system_role(
    tokenizer: Any,
) -> None:
    tokenizer.chat_template = NO_SYSTEM
    try:
        marked = mark_answers(tokenizer, chat("Hi", "Hello.", system="Be brief.")["messages"])
        assert not isinstance(marked, str)
        assert "user\nBe brief.\n\nHi<|im_end|>" in marked.text
        assert learn(tokenizer, chat("Hi", "Hello.", system="Be brief.")) == "Hello.<|im_end|>"
    finally:
        tokenizer.chat_template = CHAT_TEMPLATE


def test_row_that_the_template_refuses_is_dropped_with_its_reason(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    tokenizer.chat_template = (
        "{% if messages | length > 2 %}{{ raise_exception('one question only') }}{% endif %}"
        + CHAT_TEMPLATE
    )
    try:
        data = make_dataset([chat("a", "b"), chat("a", "b", "c", "d")])
        encoded = encode_dataset(data, tokenizer, max_length=200)
    finally:
        tokenizer.chat_template = CHAT_TEMPLATE
    assert len(encoded.rows) == 1
    ((reason, count),) = encoded.dropped.items()
    assert "one question only" in reason
    assert count == 1


def test_encode_dataset_counts_truncated_and_dropped_rows(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    data = make_dataset(
        [
            chat("short", "short"),
            chat("short", "long " * 100),  # cut within its answer
            chat("long " * 100, "short"),  # cut before its answer
            {"messages": [{"role": "user", "content": "nobody answers"}]},
        ]
    )
    encoded = encode_dataset(data, tokenizer, max_length=60)
    assert encoded.total == 4
    assert len(encoded.rows) == 2
    assert encoded.truncated == 1
    assert encoded.dropped == {rows_module.NO_TOKENS: 1, rows_module.NO_ANSWER: 1}
    assert max(len(row.input_ids) for row in encoded.rows) == 60
    cut = encoded.rows[1]
    assert cut.labels[-1] != IGNORED, "the end of a cut answer is not trained as its end"
    assert cut.labels[-1] != tokenizer.eos_token_id


def test_encode_dataset_without_usable_rows_raises_with_the_reason(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    data = make_dataset([chat("long " * 100, "short"), chat("long " * 90, "short")])
    with pytest.raises(
        JobError, match=r"None of the dataset's 2 rows can be used; of 2 of them, nothing"
    ):
        encode_dataset(data, tokenizer, max_length=20)


def test_encode_dataset_reads_only_answers_labelled_good(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    rows = [
        {"prompt": "Hi", "completion": answer, "label": label}
        for answer, label in (("Hello.", True), ("Go away.", False), ("Maybe.", None))
    ]
    encoded = encode_dataset(make_dataset(rows), tokenizer, max_length=100)
    assert [learned(tokenizer, row) for row in encoded.rows] == ["Hello.<|im_end|>"]
    assert encoded.dropped == {rows_module.NOT_GOOD: 2}


def test_encode_dataset_refuses_a_table(tokenizer: Any, make_dataset: MakeDataset) -> None:
    with pytest.raises(JobError, match="of the shape 'table'"):
        encode_dataset(make_dataset([{"x": 1, "y": 2}]), tokenizer, max_length=20)


def test_encode_dataset_learns_all_of_plain_text_and_an_end_token(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    data = make_dataset([{"text": "Once upon a time."}, {"text": "The end."}])
    encoded = encode_dataset(data, tokenizer, max_length=100)
    assert [learned(tokenizer, row) for row in encoded.rows] == [
        "Once upon a time.<|im_end|>",
        "The end.<|im_end|>",
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Add.", "input": "1+1", "output": "2"},
        {"prompt": "1+1", "completion": "2"},
        {"conversations": [{"from": "human", "value": "1+1"}, {"from": "gpt", "value": "2"}]},
        {"prompt": "1+1", "chosen": "2", "rejected": "3"},
    ],
)
def test_encode_dataset_learns_the_answer_in_all_conversational_shapes(
    tokenizer: Any, make_dataset: MakeDataset, row: dict[str, Any]
) -> None:
    (encoded,) = encode_dataset(make_dataset([row]), tokenizer, max_length=200).rows
    assert learned(tokenizer, encoded) == "2<|im_end|>"
    assert "1+1" in tokenizer.decode(encoded.input_ids)


def test_tokenizer_without_a_chat_template_gets_a_plain_one(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    base = make_tiny_model(tmp_path / "base", chat_template=None)
    tokenizer = load_tokenizer(base / "weights")
    (row,) = encode_dataset(make_dataset([chat("Hi", "Hello.")]), tokenizer, max_length=99).rows
    assert tokenizer.decode(row.input_ids) == "User: Hi\nAssistant: Hello.<|im_end|>\n"
    assert learned(tokenizer, row) == " Hello.<|im_end|>"


def test_slow_tokenizer_gives_the_same_labels(
    tokenizer: Any, make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset([chat("Hi there", "Hello you.", "And?", "Nothing.")])
    (fast,) = encode_dataset(data, tokenizer, max_length=99).rows
    monkeypatch.setattr(type(tokenizer), "is_fast", property(lambda _: False))
    (slow,) = encode_dataset(data, tokenizer, max_length=99).rows
    assert learned(tokenizer, slow) == learned(tokenizer, fast)
    assert tokenizer.decode(slow.input_ids) == tokenizer.decode(fast.input_ids)


def test_tokenizer_that_trims_spaces_from_offsets_gives_the_same_labels(
    tiny_model: Path, make_dataset: MakeDataset
) -> None:
    """Use offsets like those of GPT-2 and Llama 3, which exclude leading spaces from tokens."""
    from tokenizers import processors

    tokenizer = load_tokenizer(tiny_model / "weights")
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    data = make_dataset([chat("Hi\n", "\n Hello  you.\n", "And?", "No.")])
    (row,) = encode_dataset(data, tokenizer, max_length=99).rows
    assert learned(tokenizer, row) == "\n Hello  you.\n<|im_end|>No.<|im_end|>"


def test_learned_tokens_do_not_count_the_first_token(
    tokenizer: Any, make_dataset: MakeDataset
) -> None:
    encoded = encode_dataset(make_dataset([{"text": "abc"}]), tokenizer, max_length=99)
    assert encoded.learned_tokens == encoded.tokens - 1


def test_encode_dataset_keeps_the_order_of_rows_across_batches(
    tokenizer: Any, make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 3)
    data = make_dataset([chat("Hi", f"answer {i}") for i in range(10)])
    encoded = encode_dataset(data, tokenizer, max_length=99, max_rows=8)
    assert [learned(tokenizer, row) for row in encoded.rows] == [
        f"answer {i}<|im_end|>" for i in range(8)
    ]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("assistant", "Hello.<|im_end|>Nothing.<|im_end|>"),
        ("last", "Nothing.<|im_end|>"),
        (
            "all",
            (
                "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n"
                "<|im_start|>assistant\nNothing.<|im_end|>"
            ),
        ),
    ],
)
def test_encode_dataset_learns_the_chosen_turns(
    tokenizer: Any, make_dataset: MakeDataset, which: Any, expected: str
) -> None:
    data = make_dataset([chat("Hi", "Hello.", "And?", "Nothing.", system="Be brief.")])
    (row,) = encode_dataset(data, tokenizer, max_length=200, learn=which).rows
    assert learned(tokenizer, row) == expected

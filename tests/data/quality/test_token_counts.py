"""Tests that counting tokens word by word gives the tokenizer's counts."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from aiplatform.data.quality import token_counts
from aiplatform.data.quality.token_counts import KNOWN_SPLITS, TokenCounts, cuts_at_spaces

TEXT = (
    "The cat sat on the mat, didn't it?  It's 12345 o'clock.\n\n  def f(x):\n\treturn x\r\n"
    "今天天气很好，我们去公园。3个人；５ 个！ naïve café e\u0301 — “yes” … <|end|> and more"
)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
STEPS = {
    "gpt2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "smollm": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ],
    **{
        f"split{number}": [pre_tokenizers.Split(Regex(pattern), "isolated"), BYTES]
        for number, pattern in enumerate(sorted(KNOWN_SPLITS))
    },
}


def tokenizer(steps: list[Any], normalizer: Any = None) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    if normalizer is not None:
        made.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([TEXT] * 20, trainer)
    return made


@pytest.fixture(scope="module", params=[*STEPS, "nfc"])
def made(request: pytest.FixtureRequest) -> Tokenizer:
    if request.param == "nfc":
        return tokenizer(STEPS["split0"], normalizers.NFC())
    return tokenizer(STEPS[request.param])


PARTS = st.sampled_from(
    [
        *" \n\t\r'，。！_.!?-0１a中国\u3000\xa0\u0301\u200b\ue000\ue001🙂",
        "  ", "\n\n", "\r\n", "'s", " the", "<|end|>", "e\u0301", "ll", "12", "天气", "\x1c",
        "\u2028",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(PARTS | st.characters(codec="utf-8"), max_size=30).map("".join)))
def test_of_returns_the_counts_of_the_tokenizer(made: Tokenizer, texts: list[str]) -> None:
    counter = TokenCounts(made)
    assert counter._cuts
    alone = [len(e) for e in made.encode_batch_fast(texts, add_special_tokens=False)]
    assert counter.of(texts) == alone
    assert counter.of(texts[::-1]) == alone[::-1]


def test_of_real_texts_is_correct_with_a_full_cache(
    made: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [TEXT, TEXT[7:], TEXT.replace(". ", ".\n"), f" {TEXT} ", TEXT * 30, "", " ", "\n"]
    alone = [len(e) for e in made.encode_batch_fast(texts, add_special_tokens=False)]
    counter = TokenCounts(made)
    assert counter.of(texts) == alone
    monkeypatch.setattr(token_counts, "MOST_KNOWN", 3)
    assert [counter.of([text])[0] for text in texts] == alone


def test_of_known_words_does_not_tokenize(made: Tokenizer) -> None:
    counter = TokenCounts(made)
    first = counter.of([TEXT])
    counter._whole = lambda texts: [0] * len(texts)  # type: ignore[method-assign]
    assert counter.of([TEXT]) == first


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"model": {"type": "Unigram", "vocab": []}},
        {"model": {"type": "BPE", "dropout": 0.1}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated",
                           "invert": False}},
        {"pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated",
                           "invert": False}},
    ],
)  # fmt: skip
def test_cuts_at_spaces_is_false_for_other_tokenizers(change: dict[str, Any]) -> None:
    config = json.loads(tokenizer(STEPS["gpt2"]).to_str())
    assert cuts_at_spaces(config)
    assert not cuts_at_spaces({**config, **change})


@pytest.mark.parametrize(
    "token",
    [{"content": "<a b>"}, {"content": "a，"}, {"lstrip": True}, {"rstrip": True},
     {"single_word": True}],
)  # fmt: skip
def test_cuts_at_spaces_is_false_with_tokens_across_spaces(token: dict[str, Any]) -> None:
    config = json.loads(tokenizer(STEPS["gpt2"]).to_str())
    config["added_tokens"][0].update(token)
    assert not cuts_at_spaces(config)

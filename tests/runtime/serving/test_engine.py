"""Rows that are decoded together say what each says alone."""

import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
)

from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.serving.engines import sampling, transformers
from aiplatform.runtime.serving.engines.base import Generation, Piece
from aiplatform.runtime.serving.engines.batch import Batch
from aiplatform.runtime.serving.engines.sampling import choose, make_generator
from aiplatform.runtime.serving.engines.transformers import TransformersEngine

PROMPTS = [
    "Hello",
    "What is the capital of France, and who lives there all the year round?",
    "你好，你是谁？",
    "The quick brown fox",
    "A",
]


@pytest.fixture(scope="module")
def engine(tuned_model: Path, tiny_model: Path) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(
        tuned_model, tiny_model, max_length=512, max_batch_size=4, precision="fp32"
    )
    # Random weights reach an end of text by chance; here answers shall have the length asked for.
    engine._ends.clear()
    yield engine
    engine.close()


class Asked:
    """An answer that was asked for."""

    def __init__(self, engine: TransformersEngine, text: str, **options: object) -> None:
        self.pieces: queue.Queue[Piece] = queue.Queue()
        values = {
            "adapted": True,
            "max_tokens": 24,
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": None,
            "stop": [],
            **options,
        }
        self.generation = Generation(
            prompt=engine.encode([{"role": "user", "content": text}]),
            deliver=self.pieces.put,
            **values,
        )
        engine.submit(self.generation)

    def result(self) -> tuple[str, str, int]:
        """Text, why it ended, number of tokens."""
        text = ""
        while True:
            piece = self.pieces.get(timeout=60)
            text += piece.text
            if piece.finish_reason is not None:
                return text, piece.finish_reason, piece.tokens


def test_a_batch_says_what_each_row_says_alone(engine: TransformersEngine) -> None:
    alone = [
        Asked(engine, text, adapted=place % 2 == 0, max_tokens=8 + 5 * place).result()
        for place, text in enumerate(PROMPTS)
    ]
    asked = [
        Asked(engine, text, adapted=place % 2 == 0, max_tokens=8 + 5 * place)
        for place, text in enumerate(PROMPTS)
    ]
    assert [one.result() for one in asked] == alone
    assert {reason for _, reason, _ in alone} == {"length"}


def test_the_adapter_makes_a_difference(engine: TransformersEngine) -> None:
    tuned = Asked(engine, PROMPTS[1], adapted=True).result()
    base = Asked(engine, PROMPTS[1], adapted=False).result()
    assert tuned != base


def test_a_seed_repeats_an_answer_whatever_runs_beside_it(engine: TransformersEngine) -> None:
    options = {"temperature": 1.0, "top_p": 0.9, "seed": 11}
    alone = Asked(engine, PROMPTS[0], **options).result()
    beside = [Asked(engine, text, temperature=1.0, max_tokens=40) for text in PROMPTS[1:3]]
    again = Asked(engine, PROMPTS[0], **options).result()
    assert again == alone
    assert Asked(engine, PROMPTS[0], **{**options, "seed": 12}).result() != alone
    for one in beside:
        one.result()


def test_a_stop_string_is_not_shown(engine: TransformersEngine) -> None:
    text, _, _ = Asked(engine, PROMPTS[1], max_tokens=40).result()
    stop = text[6:9]
    shown, reason, _ = Asked(engine, PROMPTS[1], max_tokens=40, stop=[stop]).result()
    assert (shown, reason) == (text[: text.find(stop)], "stop")


def test_a_cancelled_answer_makes_room(engine: TransformersEngine) -> None:
    asked = [Asked(engine, "on and on", max_tokens=400) for _ in range(4)]
    for one in asked:
        one.pieces.get(timeout=60)
    late = Asked(engine, "me too", max_tokens=2)
    asked[0].generation.cancelled.set()
    assert late.result()[1] == "length"
    for one in asked:
        one.generation.cancelled.set()
        assert one.result()[1] in {"cancelled", "length"}


def test_an_end_token_ends(engine: TransformersEngine) -> None:
    first = engine.encode([{"role": "user", "content": PROMPTS[0]}])
    assert first
    engine._ends.update(range(engine.model.config.vocab_size))
    try:
        assert Asked(engine, PROMPTS[0]).result() == ("", "stop", 1)
    finally:
        engine._ends.clear()


def test_a_long_prompt_in_parts_is_the_same_prompt(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever is being answered meanwhile is not disturbed."""
    long = "one two three " * 40
    expected = Asked(engine, long).result()
    beside = Asked(engine, PROMPTS[1], max_tokens=60).result()
    monkeypatch.setattr(transformers, "PROMPT_TOKENS", 16)
    other = Asked(engine, PROMPTS[1], max_tokens=60)
    other.pieces.get(timeout=60)
    assert Asked(engine, long).result() == expected
    text, reason, tokens = other.result()
    assert beside == (beside[0][: len(beside[0]) - len(text)] + text, reason, tokens)


def test_more_requests_than_places_are_all_answered(engine: TransformersEngine) -> None:
    expected = {text: Asked(engine, text).result() for text in PROMPTS}
    asked = [(text, Asked(engine, text)) for text in PROMPTS * 5]
    for text, one in asked:
        assert one.result() == expected[text]


@pytest.mark.parametrize("kind", ["sliding", "plain", "recurrent"])
def test_other_kinds_of_models_are_batched_only_where_that_is_right(
    kind: str, tiny_model: Path, tmp_path: Path
) -> None:
    model = other_model(kind, tiny_model, tmp_path)
    engine = TransformersEngine(model, None, max_length=512, max_batch_size=4, precision="fp32")
    engine._ends.clear()
    try:
        alone = [Asked(engine, text, max_tokens=30).result() for text in PROMPTS]
        asked = [Asked(engine, text, max_tokens=30) for text in PROMPTS]
        assert [one.result() for one in asked] == alone
        assert alone[1][0] == generated(engine, PROMPTS[1], 30), "and as transformers has it"
    finally:
        engine.close()


def other_model(kind: str, tiny_model: Path, directory: Path) -> Path:
    """A random model of another architecture behind the tiny model's tokenizer."""
    torch.manual_seed(5)
    sizes = {"vocab_size": 384, "hidden_size": 64, "initializer_range": 0.2, "pad_token_id": None}
    common = {
        **sizes,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    match kind:
        case "sliding":  # every second layer sees 16 tokens
            config = Gemma2Config(**common, head_dim=16, sliding_window=16)
            model = Gemma2ForCausalLM(config)
        case "plain":  # absolute positions, which padding must not shift
            config = GPT2Config(vocab_size=384, n_embd=64, n_layer=2, n_head=4, n_positions=512)
            model = GPT2LMHeadModel(config)
            model.transformer.wpe.weight.data.normal_(std=0.5)
        case _:
            config = MambaConfig(**sizes, num_hidden_layers=2, state_size=8)
            model = MambaForCausalLM(config)
    model.save_pretrained(directory / "weights")
    load_tokenizer(tiny_model / "weights").save_pretrained(directory / "weights")
    return directory


def generated(engine: TransformersEngine, text: str, tokens: int) -> str:
    """What transformers' own loop says."""
    prompt = torch.tensor([engine.encode([{"role": "user", "content": text}])])
    with torch.inference_mode():
        made = engine.model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            eos_token_id=None,
            do_sample=False,
        )
    answer = made[0, prompt.shape[1] :]
    return str(engine.tokenizer.decode(answer, skip_special_tokens=True)).rstrip("\ufffd")


def test_a_fault_ends_the_answers_concerned_and_not_the_engine(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Asked(engine, PROMPTS[0]).result()
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "compute", _fail)
        assert Asked(engine, PROMPTS[0]).result() == ("", "error", 0)
    assert Asked(engine, PROMPTS[0]).result() == expected
    assert engine.failure() is None


def _fail(*_: object) -> None:
    raise RuntimeError("out of memory")


def test_an_engine_that_ends_by_itself_says_so_and_leaves_nobody_waiting(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(tiny_model, None, max_length=128, max_batch_size=2)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(engine, "_admit", None)
    assert engine.failure() is None
    assert Asked(engine, "Hello").result()[1] == "cancelled"
    engine._thread.join(timeout=10)
    assert "ended by an error" in (engine.failure() or "")


def test_closing_ends_what_runs_and_what_waits(tiny_model: Path) -> None:
    engine = TransformersEngine(tiny_model, None, max_length=512, max_batch_size=1)
    engine._ends.clear()
    asked = [Asked(engine, "on and on", max_tokens=400) for _ in range(3)]
    asked[0].pieces.get(timeout=60)
    engine.close()
    assert {one.result()[1] for one in asked} <= {"cancelled", "length"}
    assert engine.failure() is None


def test_a_base_that_cannot_be_loaded_is_an_error_and_is_tried_again(
    tuned_model: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    engine = TransformersEngine(tuned_model, tmp_path / "base", max_length=128, max_batch_size=2)
    try:
        assert Asked(engine, "Hello", adapted=False).result()[1] == "error"
        assert Asked(engine, "Hello", adapted=True).result()[1] in {"stop", "length"}
        shutil.copytree(tiny_model, tmp_path / "base")
        assert Asked(engine, "Hello", adapted=False).result()[1] in {"stop", "length"}
    finally:
        engine.close()


def test_a_temperature_near_zero_is_greedy() -> None:
    logits = torch.tensor([5.0, 1.0, 0.0, -1.0])
    generator = make_generator(1, "cpu")
    assert {choose(logits, 1e-40, 1.0, generator) for _ in range(5)} == {0}


def test_a_nucleus_wider_than_the_likeliest_few_is_sampled_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "LIKELIEST", 2)
    generator = make_generator(1, "cpu")
    assert {choose(torch.zeros(4), 1.0, 0.99, generator) for _ in range(200)} == {0, 1, 2, 3}


def test_nucleus_sampling_keeps_the_likeliest() -> None:
    logits = torch.tensor([5.0, 1.0, 0.0, -1.0])
    generator = make_generator(1, "cpu")
    assert {choose(logits, 1.0, 0.5, generator) for _ in range(50)} == {0}
    assert len({choose(logits, 5.0, 1.0, generator) for _ in range(200)}) == 4

"""Tests of the transformers engine: batched requests get the same answers as single ones."""

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
    # Random weights may generate an end token by chance, but the tests need answers of a given
    # length.
    engine._ends.clear()
    yield engine
    engine.close()


class Request:
    """A submitted request that collects the pieces of its answer."""

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
        """Wait for the whole answer; return its text, finish reason and number of tokens."""
        text = ""
        while True:
            piece = self.pieces.get(timeout=60)
            text += piece.text
            if piece.finish_reason is not None:
                return text, piece.finish_reason, piece.tokens


def test_batched_answers_equal_single_ones(engine: TransformersEngine) -> None:
    alone = [
        Request(engine, text, adapted=place % 2 == 0, max_tokens=8 + 5 * place).result()
        for place, text in enumerate(PROMPTS)
    ]
    requests = [
        Request(engine, text, adapted=place % 2 == 0, max_tokens=8 + 5 * place)
        for place, text in enumerate(PROMPTS)
    ]
    assert [one.result() for one in requests] == alone
    assert {reason for _, reason, _ in alone} == {"length"}


def test_answers_of_tuned_model_and_base_differ(engine: TransformersEngine) -> None:
    tuned = Request(engine, PROMPTS[1], adapted=True).result()
    base = Request(engine, PROMPTS[1], adapted=False).result()
    assert tuned != base


def test_seed_repeats_an_answer_beside_other_requests(engine: TransformersEngine) -> None:
    options = {"temperature": 1.0, "top_p": 0.9, "seed": 11}
    alone = Request(engine, PROMPTS[0], **options).result()
    beside = [Request(engine, text, temperature=1.0, max_tokens=40) for text in PROMPTS[1:3]]
    again = Request(engine, PROMPTS[0], **options).result()
    assert again == alone
    assert Request(engine, PROMPTS[0], **{**options, "seed": 12}).result() != alone
    for one in beside:
        one.result()


def test_stop_string_ends_the_answer_and_is_not_shown(engine: TransformersEngine) -> None:
    text, _, _ = Request(engine, PROMPTS[1], max_tokens=40).result()
    stop = text[6:9]
    shown, reason, _ = Request(engine, PROMPTS[1], max_tokens=40, stop=[stop]).result()
    assert (shown, reason) == (text[: text.find(stop)], "stop")


def test_cancelled_answer_frees_its_place(engine: TransformersEngine) -> None:
    requests = [Request(engine, "on and on", max_tokens=400) for _ in range(4)]
    for one in requests:
        one.pieces.get(timeout=60)
    late = Request(engine, "me too", max_tokens=2)
    requests[0].generation.cancelled.set()
    assert late.result()[1] == "length"
    for one in requests:
        one.generation.cancelled.set()
        assert one.result()[1] in {"cancelled", "length"}


def test_end_token_ends_the_answer(engine: TransformersEngine) -> None:
    first = engine.encode([{"role": "user", "content": PROMPTS[0]}])
    assert first
    engine._ends.update(range(engine.model.config.vocab_size))
    try:
        assert Request(engine, PROMPTS[0]).result() == ("", "stop", 1)
    finally:
        engine._ends.clear()


def test_long_prompt_in_parts_gives_the_same_answer(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that an answer generated at the same time doesn't change, either."""
    long = "one two three " * 40
    expected = Request(engine, long).result()
    beside = Request(engine, PROMPTS[1], max_tokens=60).result()
    monkeypatch.setattr(transformers, "PROMPT_TOKENS", 16)
    other = Request(engine, PROMPTS[1], max_tokens=60)
    other.pieces.get(timeout=60)
    assert Request(engine, long).result() == expected
    text, reason, tokens = other.result()
    assert beside == (beside[0][: len(beside[0]) - len(text)] + text, reason, tokens)


def test_more_requests_than_places_are_all_answered(engine: TransformersEngine) -> None:
    expected = {text: Request(engine, text).result() for text in PROMPTS}
    requests = [(text, Request(engine, text)) for text in PROMPTS * 5]
    for text, one in requests:
        assert one.result() == expected[text]


@pytest.mark.parametrize("kind", ["sliding", "plain", "recurrent"])
def test_batched_answers_equal_single_ones_for_other_architectures(
    kind: str, tiny_model: Path, tmp_path: Path
) -> None:
    model = other_model(kind, tiny_model, tmp_path)
    engine = TransformersEngine(model, None, max_length=512, max_batch_size=4, precision="fp32")
    engine._ends.clear()
    try:
        alone = [Request(engine, text, max_tokens=30).result() for text in PROMPTS]
        requests = [Request(engine, text, max_tokens=30) for text in PROMPTS]
        assert [one.result() for one in requests] == alone
        assert alone[1][0] == generated(engine, PROMPTS[1], 30), "and as transformers has it"
    finally:
        engine.close()


def other_model(kind: str, tiny_model: Path, directory: Path) -> Path:
    """Create a random model of another architecture with the tiny model's tokenizer."""
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
        case "sliding":  # every second layer attends to only 16 tokens
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
    """Return the answer of transformers' own ``generate``."""
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


def test_failed_computation_ends_its_answers_but_not_the_engine(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Request(engine, PROMPTS[0]).result()
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "compute", _fail)
        assert Request(engine, PROMPTS[0]).result() == ("", "error", 0)
    assert Request(engine, PROMPTS[0]).result() == expected
    assert engine.failure() is None


def _fail(*_: object) -> None:
    raise RuntimeError("out of memory")


def test_failed_engine_reports_failure_and_ends_its_answers(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(tiny_model, None, max_length=128, max_batch_size=2)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(engine, "_start_waiting", None)
    assert engine.failure() is None
    assert Request(engine, "Hello").result()[1] == "cancelled"
    engine._thread.join(timeout=10)
    assert "internal error" in (engine.failure() or "")


def test_close_ends_running_and_waiting_answers(tiny_model: Path) -> None:
    engine = TransformersEngine(tiny_model, None, max_length=512, max_batch_size=1)
    engine._ends.clear()
    requests = [Request(engine, "on and on", max_tokens=400) for _ in range(3)]
    requests[0].pieces.get(timeout=60)
    engine.close()
    assert {one.result()[1] for one in requests} <= {"cancelled", "length"}
    assert engine.failure() is None


def test_base_that_cannot_be_loaded_is_tried_again_at_the_next_request(
    tuned_model: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    engine = TransformersEngine(tuned_model, tmp_path / "base", max_length=128, max_batch_size=2)
    try:
        assert Request(engine, "Hello", adapted=False).result()[1] == "error"
        assert Request(engine, "Hello", adapted=True).result()[1] in {"stop", "length"}
        shutil.copytree(tiny_model, tmp_path / "base")
        assert Request(engine, "Hello", adapted=False).result()[1] in {"stop", "length"}
    finally:
        engine.close()


def test_temperature_near_zero_is_greedy() -> None:
    logits = torch.tensor([5.0, 1.0, 0.0, -1.0])
    generator = make_generator(1, "cpu")
    assert {choose(logits, 1e-40, 1.0, generator) for _ in range(5)} == {0}


def test_nucleus_larger_than_the_likeliest_tokens_is_sampled_completely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "MAX_CANDIDATES", 2)
    generator = make_generator(1, "cpu")
    assert {choose(torch.zeros(4), 1.0, 0.99, generator) for _ in range(200)} == {0, 1, 2, 3}


def test_nucleus_sampling_keeps_only_likely_tokens() -> None:
    logits = torch.tensor([5.0, 1.0, 0.0, -1.0])
    generator = make_generator(1, "cpu")
    assert {choose(logits, 1.0, 0.5, generator) for _ in range(50)} == {0}
    assert len({choose(logits, 5.0, 1.0, generator) for _ in range(200)}) == 4

"""Rows that are decoded together say what each says alone."""

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiplatform.runtime.serving.engines.base import Generation, Piece
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


def test_nucleus_sampling_keeps_the_likeliest() -> None:
    import torch

    logits = torch.tensor([5.0, 1.0, 0.0, -1.0])
    generator = make_generator(1, "cpu")
    assert {choose(logits, 1.0, 0.5, generator) for _ in range(50)} == {0}
    assert len({choose(logits, 5.0, 1.0, generator) for _ in range(200)}) == 4

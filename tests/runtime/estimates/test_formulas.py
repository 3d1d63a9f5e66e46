"""Tests of the pure functions of an estimate: batches, memory, duration and advice."""

from itertools import repeat
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from aiplatform.protocol.estimates import Pace
from aiplatform.protocol.trainings import LoraSpec, parse_training
from aiplatform.runtime.estimates import advice
from aiplatform.runtime.estimates.batches import (
    Batches,
    Steps,
    count_steps,
    longest_batch,
    make_batches,
)
from aiplatform.runtime.estimates.duration import (
    MeasuredStep,
    Work,
    from_calibration,
    from_history,
)
from aiplatform.runtime.estimates.memory import MemorySetting, memory_parts, peak_mb
from aiplatform.runtime.estimates.model_facts import ModelFacts
from aiplatform.runtime.estimates.run import sufficient_length
from aiplatform.runtime.rows import IGNORED, Encoded


def row(length: int, learned: int) -> tuple[Encoded]:
    """Return a row of ``length`` tokens, of which only the last ``learned`` are learned."""
    ids = np.arange(length, dtype=np.int32)
    labels = np.where(ids >= length - learned, ids, IGNORED)
    return (Encoded(ids, labels),)


def sizes(tokens: int, positions: int = 0, learned: int = 0) -> Batches:
    return Batches(*(np.asarray([number]) for number in (tokens, positions, learned)))


SMOLLM2 = ModelFacts(
    layers=30,
    hidden=576,
    inner=1536,
    vocabulary=49152,
    shapes={
        "model.embed_tokens.weight": (49152, 576),
        "model.norm.weight": (576,),
        **{
            f"model.layers.{layer}.{name}.weight": shape
            for layer in range(30)
            for name, shape in {
                "self_attn.q_proj": (576, 576),
                "self_attn.k_proj": (192, 576),
                "self_attn.v_proj": (192, 576),
                "self_attn.o_proj": (576, 576),
                "mlp.gate_proj": (1536, 576),
                "mlp.up_proj": (1536, 576),
                "mlp.down_proj": (576, 1536),
                "input_layernorm": (576,),
                "post_attention_layernorm": (576,),
            }.items()
        },
    },
    stored_bytes=269_060_552,
)
LORA = LoraSpec()


class TestBatches:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, Steps(3, 3, 3)),
            ({"epochs": 2.5}, Steps(3, 3, 8)),
            ({"accumulation": 2}, Steps(3, 2, 2)),
            ({"processes": 2}, Steps(2, 2, 2)),
            ({"max_steps": 7}, Steps(3, 3, 7)),
        ],
    )
    def test_steps_are_counted_as_the_trainer_does(
        self, options: dict[str, Any], expected: Steps
    ) -> None:
        given = {"batch_size": 4, "accumulation": 1, "processes": 1, "epochs": 1, "max_steps": None}
        assert count_steps(10, **{**given, **options}) == expected

    def test_sequences_of_a_batch_are_padded_to_the_longest(self) -> None:
        orders = repeat(np.asarray([1, 0]))
        drawn = make_batches([row(10, 4), row(30, 2)], orders, batch_size=2, count=3)
        assert drawn.tokens.tolist() == [60, 60, 60]
        assert drawn.learned.tolist() == [6, 6, 6]
        # Tokens 6 to 9 and 28 to 29 are learned. Each is predicted one position earlier, so the
        # batch needs positions 5 to 28 of both rows.
        assert drawn.positions.tolist() == [2 * 24] * 3

    def test_longest_batch_has_the_longest_rows(self) -> None:
        found = longest_batch([row(10, 1), row(50, 1), row(40, 1)], 2)
        assert found.tokens.tolist() == [100]

    def test_both_sides_of_a_pair_count(self) -> None:
        pair = (*row(10, 2), *row(20, 2))
        orders = repeat(np.asarray([0]))
        assert make_batches([pair], orders, batch_size=8, count=1).tokens.tolist() == [40]


class TestMemory:
    @pytest.mark.parametrize(
        ("lora", "batch", "measured"),
        [
            (LORA, sizes(348, 274, 150), 2123),
            (LORA, sizes(1776, 1496, 279), 5991),
            (LORA, sizes(2048, 1820, 1155), 7149),
            (LoraSpec(rank=64, dropout=0), sizes(1776, 1496, 279), 4472),
            (LORA, sizes(1024, 568, 557), 3970),
            (
                LoraSpec(rank=8, target_modules=["q_proj", "v_proj"]),
                sizes(2048, 1820, 1155),
                5160,
            ),
            (None, sizes(348, 274, 150), 3303),
            (None, sizes(888, 748, 231), 4018),
            (None, sizes(1776, 1496, 279), 5658),
        ],
    )
    def test_formula_agrees_with_trainings_of_smollm2(
        self, lora: LoraSpec | None, batch: Batches, measured: int
    ) -> None:
        setting = MemorySetting("cpu", 4, 4, lora, has_logits=True)
        assert peak_mb(SMOLLM2, setting, batch) == pytest.approx(measured, rel=0.08)

    def test_adapter_has_as_many_weights_as_in_a_training(self) -> None:
        assert SMOLLM2.adapter_parameters(LORA) == 4_884_480
        only = LoraSpec(target_modules=["q_proj", "v_proj"])
        assert SMOLLM2.adapter_parameters(only) == 30 * 16 * (1152 + 768)

    def test_gpu_counts_no_libraries_and_no_loading(self) -> None:
        setting = MemorySetting("gpu", 2, 2, LORA, has_logits=True)
        parts = memory_parts(SMOLLM2, setting, sizes(8))
        assert parts["libraries"] == 0
        assert peak_mb(SMOLLM2, setting, sizes(8)) == pytest.approx(sum(parts.values()))

    def test_loading_counts_if_batches_are_small(self) -> None:
        setting = MemorySetting("cpu", 4, 4, LORA, has_logits=True)
        assert peak_mb(SMOLLM2, setting, sizes(1)) == pytest.approx(1340, rel=0.02)


class TestDuration:
    def test_history_gives_overhead_and_pace(self) -> None:
        pace = Pace(trainings=3, low=0.01, expected=0.02, high=0.04, overhead_seconds=5)
        found = from_history(pace, Work(1000, final_held_out=500, other_held_out=0))
        assert (found["low"], found["expected"], found["high"]) == (15, 25, 45)
        assert (found["source"], found["trainings"], found["steps"]) == ("history", 3, None)

    def test_calibration_leaves_out_the_first_step(self) -> None:
        steps = [MeasuredStep(9.0, 100), MeasuredStep(1.0, 100), MeasuredStep(2.0, 100)]
        found = from_calibration(steps, 2.0, Work(1000, 0, 0))
        assert found["expected"] == 3 + 15
        assert (found["low"], found["high"]) == (3 + 6.5, 3 + 27)
        assert (found["source"], found["steps"]) == ("calibration", 3)

    def test_evaluations_take_time(self) -> None:
        steps = [MeasuredStep(1.0, 100)]
        without = from_calibration(steps, 0, Work(1000, 0, 0))["expected"]
        assert from_calibration(steps, 0, Work(1000, 100, 900))["expected"] > without


def facts(**changes: Any) -> advice.Facts:
    given: dict[str, Any] = {
        "used": 1000,
        "truncated": 0,
        "dropped": 0,
        "total": 1000,
        "held_out": 50,
        "sequences": changes.get("used", 1000),
        "mean_tokens": 100,
        "padding_share": 0.2,
        "steps": Steps(125, 125, 125),
        "sufficient_length": 512,
        "longest_context": 2048,
        "memory_mb": 1000,
        "available_mb": 8000,
    }
    return advice.Facts(**{**given, **changes})


def codes(found: advice.Facts, **options: Any) -> list[str]:
    uuid = str(uuid4())
    spec = parse_training({"base_model": uuid, "dataset": {"dataset": uuid}, **options})
    return [remark.code for remark in advice.advise(spec, found)]


class TestAdvice:
    def test_usual_settings_give_none(self) -> None:
        assert codes(facts()) == []
        assert codes(facts(held_out=None), tuning="full", learning_rate=2e-5) == []

    @pytest.mark.parametrize(
        ("changes", "options", "code"),
        [
            ({"truncated": 200, "sufficient_length": 900}, {}, "rows_truncated"),
            ({"dropped": 300, "total": 1300}, {}, "rows_dropped"),
            ({"held_out": 12}, {}, "held_out_small"),
            ({"used": 6, "steps": Steps(1, 1, 1)}, {}, "batch_too_large"),
            ({"sequences": 6, "steps": Steps(1, 1, 1)}, {"packing": True}, "batch_too_large"),
            ({"padding_share": 0.6}, {}, "much_padding"),
            ({"padding_share": 0.6}, {"method": "cpt"}, "much_padding"),
            ({}, {"learning_rate": 2e-2}, "learning_rate_unusual"),
            ({}, {"learning_rate": 1e-6}, "learning_rate_unusual"),
            ({}, {"tuning": "full"}, "learning_rate_unusual"),
            ({"steps": Steps(125, 125, 2500)}, {}, "many_epochs"),
            ({"used": 100, "steps": Steps(13, 13, 130)}, {}, "many_epochs"),
            ({"memory_mb": 9000}, {}, "memory_short"),
        ],
    )
    def test_each_setting_that_could_be_better_gives_one_remark(
        self, changes: dict[str, Any], options: dict[str, Any], code: str
    ) -> None:
        assert codes(facts(**changes), **options) == [code]

    def test_sufficient_length_is_rounded_up_and_fits_the_model(self) -> None:
        uuid = str(uuid4())
        spec = parse_training({"base_model": uuid, "dataset": {"dataset": uuid}})
        long = facts(truncated=500, sufficient_length=5000)
        (remark,) = advice.advise(spec, facts(truncated=500, sufficient_length=700))
        assert "Set max_length to 704" in remark.message
        assert "704" in remark.message_zh
        (remark,) = advice.advise(spec, long)
        assert "Set max_length to 2048" in remark.message
        (remark,) = advice.advise(spec, facts(truncated=500, longest_context=512))
        assert "Split long rows" in remark.message

    def test_packing_is_advised_with_a_batch_of_as_many_rows(self) -> None:
        uuid = str(uuid4())
        spec = parse_training({"base_model": uuid, "dataset": {"dataset": uuid}, "batch_size": 16})
        (remark,) = advice.advise(spec, facts(padding_share=0.6))
        assert "Set packing to true and batch_size to 3: a step learns from about 15 rows" in (
            remark.message
        )
        assert "batch_size 设为 3" in remark.message_zh

    def test_sufficient_length_covers_95_percent(self) -> None:
        assert sufficient_length([600, 700, 800], 20, 512) == 700
        assert sufficient_length([600], 100, 512) == 512

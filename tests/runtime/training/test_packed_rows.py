"""Tests of packed rows: how rows are combined, which tokens are learned, and the results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.loading import load_weights
from aiplatform.runtime.rows import IGNORED, Encoded
from aiplatform.runtime.training.packed_rows import (
    PackedRows,
    pack_whole_rows,
    require_separate_rows,
)
from tests.runtime.conftest import MakeDataset, RecordedReporter
from tests.runtime.training.conftest import ROWS


def encoded(*lengths: int) -> list[Encoded]:
    """Return rows with these lengths in tokens; no token occurs in two rows."""
    starts = np.cumsum([0, *lengths])
    ids = [
        np.arange(start, start + n, dtype=np.int32)
        for start, n in zip(starts, lengths, strict=False)
    ]
    return [Encoded(each, each) for each in ids]


def rows_of(sequence: PackedRows) -> list[list[int]]:
    starts = np.flatnonzero(sequence.position_ids == 0)[1:]
    return [piece.tolist() for piece in np.split(sequence.input_ids, starts)]


def test_all_rows_are_packed_once_and_whole() -> None:
    rows = encoded(*np.random.default_rng(1).integers(2, 60, 300))
    packed = pack_whole_rows(rows, length=64, seed=7)
    found = [tuple(row) for sequence in packed for row in rows_of(sequence)]
    assert sorted(found) == sorted(tuple(row.input_ids.tolist()) for row in rows)
    assert max(len(sequence.input_ids) for sequence in packed) <= 64
    total = sum(len(row.input_ids) for row in rows)
    assert len(packed) * 64 < 1.1 * total, "hardly any space is left"


def test_first_token_of_a_packed_row_is_not_learned() -> None:
    (sequence,) = pack_whole_rows(encoded(3, 4), length=16, seed=0)
    assert sorted(rows_of(sequence)) == [[0, 1, 2], [3, 4, 5, 6]]
    first = sequence.position_ids == 0
    assert (sequence.labels[first] == IGNORED).all()
    assert (sequence.labels[~first] == sequence.input_ids[~first]).all()
    assert sequence.learned_tokens == 5


def test_order_depends_on_the_seed_only() -> None:
    rows = encoded(*np.random.default_rng(2).integers(2, 30, 100))
    packed = [
        [sequence.input_ids.tolist() for sequence in pack_whole_rows(rows, length=32, seed=seed)]
        for seed in (1, 1, 2)
    ]
    assert packed[0] == packed[1] != packed[2]


def test_packed_training_learns_the_same_as_one_row_after_the_other(
    tiny_model: Path, make_dataset: MakeDataset, train_with: Callable[..., Any]
) -> None:
    """Check that packing changes neither the loss nor the gradient norm of a step over all rows."""
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    same = {"max_steps": 2, "lora": {"dropout": 0}, "lr_scheduler": "constant", "warmup_ratio": 0}
    _, plain, plain_series = train_with("sft", inputs, batch_size=len(ROWS), **same)
    _, packed, packed_series = train_with("sft", inputs, batch_size=64, packing=True, **same)
    assert 1 < packed["blocks"] < len(ROWS)
    assert packed["tokens"] == plain["tokens"]
    for step in (1, 2):
        for name in ("loss", "grad_norm"):
            assert packed_series[step][name] == pytest.approx(plain_series[step][name], rel=1e-3)


def test_packed_training_resumes_with_the_same_losses(
    tiny_model: Path, make_dataset: MakeDataset, train_with: Callable[..., Any]
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    options = {"packing": True, "batch_size": 2, "max_length": 64, "max_steps": 6}
    job, _, series = train_with("sft", inputs, checkpoint_steps=3, **options)
    checkpoint = str(Path(job.checkpoint_dir) / "checkpoint-3")
    _, _, resumed = train_with("sft", inputs, checkpoint, checkpoint_steps=3, **options)
    assert [*resumed] == [4, 5, 6]
    for step, values in resumed.items():
        assert values["loss"] == pytest.approx(series[step]["loss"], abs=1e-6)


def test_sequences_are_reported(
    tiny_model: Path,
    make_dataset: MakeDataset,
    train_with: Callable[..., Any],
    recorded: RecordedReporter,
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    _, result, _ = train_with("sft", inputs, packing=True, max_steps=1)
    (event,) = [m for m in recorded.of_type("event") if m["name"] == "rows"]
    assert event["data"]["blocks"] == result["blocks"]
    assert result["rows"] == len(ROWS)


def test_model_that_ignores_positions_is_refused(tiny_model: Path) -> None:
    class Mixing(nn.Module):
        """A model in which each token depends on all earlier tokens, even those of other rows."""

        device = torch.device("cpu")

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(100, 8)

        def forward(self, input_ids: Any, **_: Any) -> Any:
            class Answer:
                logits = self.embedding(input_ids).cumsum(1)

            return Answer

    packed = pack_whole_rows(encoded(20, 30, 25), length=128, seed=0)
    require_separate_rows(load_weights(tiny_model, torch.float32), packed)
    with pytest.raises(JobError, match="Mixing does not keep packed rows apart"):
        require_separate_rows(Mixing(), packed)
    require_separate_rows(Mixing(), pack_whole_rows(encoded(20, 30), length=30, seed=0))

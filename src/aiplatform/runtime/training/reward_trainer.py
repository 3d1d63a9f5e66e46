"""TRL's RewardTrainer adapted to encoded pairs."""

from typing import Any

from trl import RewardTrainer

from aiplatform.runtime.training.preferences import PreferenceTrainer, collate_pairs


class RewardModelTrainer(PreferenceTrainer, RewardTrainer):  # type: ignore[misc]
    """A trainer for reward models, with the Bradley-Terry loss of the two scores of a pair."""


def collate_sides(rows: list[dict[str, list[int]]], pad: int) -> dict[str, Any]:
    """Return a right-padded batch: first all chosen sides, then all rejected ones."""
    batch = collate_pairs(rows, pad)
    del batch["completion_mask"]  # the model accepts no such argument
    return batch

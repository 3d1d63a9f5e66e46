"""What sweeps of experiments need is what experiments need."""

from tests.server.experiments.conftest import (
    base,
    config,
    create,
    dataset,
    hand,
    held_out,
    made,
    mine,
    owner,
    project,
    rows,
)

__all__ = [
    "base", "config", "create", "dataset", "hand", "held_out", "made", "mine", "owner", "project",
    "rows",
]  # fmt: skip

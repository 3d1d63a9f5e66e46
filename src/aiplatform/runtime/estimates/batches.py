"""The batches of a training run, in the trainer's order. All functions here are pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aiplatform.runtime.rows import IGNORED, Encoded

MOST_BATCHES = 2000
"""Maximum number of batches to make; more would hardly change the mean and the maximum."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batches:
    """Sizes of the batches on one device. Each array has one number per batch.

    ``tokens`` includes padding. ``positions`` is the number of positions at which logits are
    computed, and ``learned`` the number of tokens in the loss; both are totals over a batch.
    """

    tokens: Numbers
    positions: Numbers
    learned: Numbers

    @property
    def mean_tokens(self) -> float:
        """The mean number of tokens in a batch, including padding."""
        return float(self.tokens.mean())


@dataclass(frozen=True)
class Steps:
    """The numbers of batches and optimizer steps of a training run."""

    batches_per_epoch: int
    per_epoch: int
    total: int

    @property
    def epochs(self) -> float:
        """The number of passes over all rows."""
        return self.total / self.per_epoch


def count_steps(
    rows: int,
    *,
    batch_size: int,
    accumulation: int,
    processes: int,
    epochs: float,
    max_steps: int | None,
) -> Steps:
    """Return the numbers of batches and steps, counted as transformers' trainer does."""
    batches = math.ceil(rows / (batch_size * processes))
    per_epoch = math.ceil(batches / accumulation)
    return Steps(batches, per_epoch, max_steps or math.ceil(epochs * per_epoch))


def make_batches(
    sequences: Sequence[tuple[Encoded, ...]],
    orders: Iterator[Numbers],
    *,
    batch_size: int,
    count: int,
) -> Batches:
    """Return the sizes of the first ``count`` batches, but of at most :data:`MOST_BATCHES`.

    All sequences of a batch are padded to the longest one.

    Args:
        sequences: The token sequences of each row; a row may have several.
        orders: The row indices of each epoch, in the order in which the rows are learned.
        batch_size: Number of rows in a batch.
        count: Number of batches.
    """
    sizes = _sizes(sequences)
    found: list[tuple[int, int, int]] = []
    wanted = min(count, MOST_BATCHES)
    while len(found) < wanted:
        order = next(orders)
        for start in range(0, len(order), batch_size):
            found.append(_measure(sizes[order[start : start + batch_size]], len(sequences[0])))
            if len(found) == wanted:
                break
    tokens, positions, learned = np.asarray(found, dtype=np.int64).T
    return Batches(tokens, positions, learned)


def longest_batch(sequences: Sequence[tuple[Encoded, ...]], batch_size: int) -> Batches:
    """Return the size of a batch of the longest rows, which needs the most memory."""
    sizes = _sizes(sequences)
    longest = sizes[np.argsort(sizes[:, 0])[-batch_size:]]
    measured = _measure(longest, len(sequences[0]))
    tokens, positions, learned = np.asarray([measured], dtype=np.int64).T
    return Batches(tokens, positions, learned)


def _sizes(sequences: Sequence[tuple[Encoded, ...]]) -> Numbers:
    """Return each row's length, first and last learned position, and number of learned tokens."""
    rows: list[Any] = []
    for texts in sequences:
        places = [np.flatnonzero(text.labels[1:] != IGNORED) for text in texts]
        some = [each for each in places if len(each)]
        rows.append(
            (
                max(len(text.input_ids) for text in texts),
                min((int(each[0]) for each in some), default=0),
                max((int(each[-1]) for each in some), default=-1),
                sum(len(each) for each in places),
            )
        )
    return np.asarray(rows, dtype=np.int64)


def _measure(rows: Numbers, sequences_per_row: int) -> tuple[int, int, int]:
    sequences = len(rows) * sequences_per_row
    columns = max(0, int(rows[:, 2].max()) - int(rows[:, 1].min()) + 1) if rows[:, 3].any() else 0
    return sequences * int(rows[:, 0].max()), sequences * columns, int(rows[:, 3].sum())

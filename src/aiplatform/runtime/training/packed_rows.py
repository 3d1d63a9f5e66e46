"""Packing of several rows into a sequence, in which each row attends only to itself.

This is the option ``packing`` of supervised fine-tuning (SFT).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.rows import IGNORED, Encoded

LEAK = 0.1
"""Largest accepted change in a row's logits due to the rows packed before it.

It is a fraction of the change that occurs if nothing separates the rows. Rounding changes logits as
well, but usually by less than a hundredth of that.
"""


class PackedRows(NamedTuple):
    """Several rows in one sequence: token ids, labels and positions, of the same length.

    The positions start at 0 in each row. Models use them to recognize the rows, so that tokens
    attend only to their own row.
    """

    input_ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    position_ids: npt.NDArray[np.int32]

    @property
    def learned_tokens(self) -> int:
        """The number of tokens in the loss; the first token of a row is never predicted."""
        return int(np.count_nonzero(self.labels[1:] != IGNORED))


def pack_whole_rows(rows: Sequence[Encoded], *, length: int, seed: int) -> list[PackedRows]:
    """Pack all rows into sequences of at most ``length`` tokens, without cutting any row.

    Rows are shuffled with ``seed`` and packed in batches by TRL: each row goes into the sequence
    with the least space that is sufficient ("best fit decreasing").

    Args:
        rows: the rows, of at most ``length`` tokens each.
        length: the maximum number of tokens in a sequence.
        seed: the seed for shuffling the rows.
    """
    # These import torch, which takes seconds.
    from trl import pack_dataset

    from aiplatform.runtime.training.trainer import as_dataset

    order = np.random.default_rng(seed).permutation(len(rows))
    dataset = as_dataset({"": [rows[index] for index in order]})
    packed = pack_dataset(dataset, length, strategy="bfd").with_format("numpy")
    return [
        _packed(sequence["input_ids"], sequence["labels"], sequence["seq_lengths"])
        for sequence in packed
    ]


def _packed(input_ids: Any, labels: Any, lengths: Any) -> PackedRows:
    positions = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    # Otherwise, the model would learn to predict a row's first token from the row before.
    labels = np.where(positions == 0, IGNORED, labels).astype(np.int32)
    return PackedRows(input_ids.astype(np.int32), labels, positions)


def require_separate_rows(model: Any, packed: Sequence[PackedRows]) -> None:
    """Check with a packed sequence that the rows do not affect each other in this model.

    The last row's logits are computed in three ways: alone, packed, and after the other rows
    without positions. The first two must differ far less than the first and the third.

    Args:
        model: the model, not yet wrapped for several processes.
        packed: all sequences. If each contains a single row, there is nothing to check.

    Raises:
        JobError: Rows affect each other.
    """
    import torch

    several = next((row for row in packed if (row.position_ids == 0).sum() > 1), None)
    if several is None:
        return
    start = int(np.flatnonzero(several.position_ids == 0)[-1])
    training = model.training
    model.eval()

    def logits(ids: Any, positions: Any = None) -> Any:
        ids = torch.as_tensor(ids, dtype=torch.long, device=model.device)[None]
        if positions is not None:
            positions = torch.as_tensor(positions, dtype=torch.long, device=model.device)[None]
        answer = model(input_ids=ids, position_ids=positions, use_cache=False)
        return answer.logits[0, -1].float()

    with torch.no_grad():
        alone = logits(several.input_ids[start:])
        kept_apart = logits(several.input_ids, several.position_ids)
        joined = logits(several.input_ids)
    model.train(training)
    if (kept_apart - alone).norm() > LEAK * (joined - alone).norm():
        raise JobError(
            f"The architecture {type(model).__name__} does not keep packed rows apart, so they "
            "would learn from each other. Train without packing."
        )

"""Loss and perplexity of a model on encoded rows, as means over tokens."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy

from aiplatform.runtime.loading import selects_logits
from aiplatform.runtime.rows import IGNORED, Encoded
from aiplatform.runtime.stop import StopRequest


class TokenLoss(NamedTuple):
    """The mean negative log-likelihood per token, in nats, over ``tokens`` tokens."""

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """The exponential of the loss; infinite if it is too large for a float."""
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf


def token_losses(
    model: Any,
    rows: list[Encoded],
    *,
    pad: int,
    batch_size: int,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    stop: StopRequest | None = None,
    progress: Callable[[float], None] | None = None,
) -> TokenLoss | None:
    """Return the mean loss of ``model`` over the learned tokens of ``rows``; None after a stop.

    All tokens have equal weight. A mean of batch means would depend on the batch size, because rows
    are sorted by length.

    Args:
        model: The model, which is in evaluation mode during the call.
        rows: Rows to evaluate.
        pad: Token id used for padding.
        batch_size: Number of rows in one forward pass.
        context: Returns a context manager for each forward pass.
        stop: The stop request to watch; the function returns None once a stop is requested.
        progress: Called with the fraction of rows done, from 0 to 1.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    total, tokens = 0.0, 0
    try:
        done = 0
        for batch in _by_length(rows, batch_size):
            if stop is not None and stop.requested:
                return None
            with torch.no_grad(), context():
                loss, count = batch_loss(model, batch, pad, device)
            total += loss
            tokens += count
            done += len(batch)
            if progress is not None:
                progress(done / len(rows))
    finally:
        model.train(was_training)
    return TokenLoss(total / tokens if tokens else math.nan, tokens)


def batch_loss(model: Any, batch: list[Encoded], pad: int, device: Any) -> tuple[float, int]:
    """Return the total loss over a batch's learned tokens, and the number of these tokens."""
    length = max(len(row.input_ids) for row in batch)
    input_ids = torch.full((len(batch), length), pad, dtype=torch.long)
    targets = torch.full((len(batch), length), IGNORED, dtype=torch.long)
    mask = torch.zeros((len(batch), length), dtype=torch.long)
    for index, row in enumerate(batch):
        end = len(row.input_ids)
        input_ids[index, :end] = torch.from_numpy(row.input_ids)
        targets[index, : end - 1] = torch.from_numpy(row.labels[1:])
        mask[index, :end] = 1
    learned = targets != IGNORED
    options = {}
    positions = torch.arange(length)
    if selects_logits(model):
        # The logits of prompts are not needed. Skipping them saves much time, because the output
        # layer over the vocabulary is the larger part of a small model.
        positions = learned.any(dim=0).nonzero().squeeze(1)
        options["logits_to_keep"] = positions.to(device)
    logits = model(
        input_ids=input_ids.to(device), attention_mask=mask.to(device), use_cache=False, **options
    ).logits
    total = 0.0
    for index in range(len(batch)):  # row by row, because logits in float32 take much memory
        chosen = learned[index, positions]
        wanted = targets[index, positions][chosen].to(device)
        row = logits[index, chosen.to(device)].float()
        total += cross_entropy(row, wanted, reduction="sum").item()
    return total, int(learned.sum())


def _by_length(rows: list[Encoded], batch_size: int) -> Iterator[list[Encoded]]:
    """Yield batches of rows of similar length.

    The longest rows come first, so that the evaluation fails at the start if they don't fit into
    memory.
    """
    order = sorted(rows, key=lambda row: len(row.input_ids), reverse=True)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]

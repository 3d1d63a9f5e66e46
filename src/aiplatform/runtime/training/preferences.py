"""Code shared by the methods that learn from preference pairs."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aiplatform.protocol.messages import Job
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.pairs import EncodedPairs, Pair, encode_pairs
from aiplatform.runtime.rows import IGNORED
from aiplatform.runtime.training import setup
from aiplatform.runtime.training.reporting import series_name
from aiplatform.runtime.training.trainer import CheckpointedTrainer, collate
from aiplatform.runtime.training.trainer import as_dataset as encoded_dataset


def encode_inputs(
    job: Job, tokenizer: Any, max_length: int, report: Reporter
) -> tuple[EncodedPairs, EncodedPairs | None]:
    """Return the encoded training pairs, and the held-out ones if there are any.

    Raises:
        JobError: see :func:`aiplatform.runtime.pairs.encode_pairs`.
    """
    rows = encode_pairs(Path(job.inputs["dataset"]), tokenizer, max_length=max_length)
    report.event("rows", **rows.describe())
    if "eval_dataset" not in job.inputs:
        return rows, None
    held_out = encode_pairs(
        Path(job.inputs["eval_dataset"]),
        tokenizer,
        max_length=max_length,
        dataset_name="held-out dataset",
    )
    report.event("held_out_rows", **held_out.describe())
    return rows, held_out


def as_dataset(pairs: Sequence[Pair]) -> Any:
    """Return the pairs as a dataset for the trainer, with the columns of both sides."""
    return encoded_dataset(
        {f"{name}_": [getattr(pair, name) for pair in pairs] for name in Pair._fields}
    )


def collate_pairs(rows: list[dict[str, list[int]]], pad: int) -> dict[str, Any]:
    """Return a right-padded batch: first all chosen sides, then all rejected ones.

    ``completion_mask`` is 1 at the tokens of the answers.
    """
    sides = [
        {part: row[f"{name}_{part}"] for part in ("input_ids", "labels")}
        for name in Pair._fields
        for row in rows
    ]
    batch = collate(sides, pad)
    batch["completion_mask"] = (batch.pop("labels") != IGNORED).long()
    return batch


class PreferenceTrainer(CheckpointedTrainer):
    """A base class for trainers on encoded pairs. Subclasses list it before TRL's trainer.

    TRL's trainers would tokenize the texts themselves. Their evaluations are means over batches,
    although the last batch may be smaller. Here, all pairs have the same weight, and a stop request
    aborts an evaluation.
    """

    _metrics: Any
    callback_handler: Any

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the loss and rewards of the held-out pairs; empty if a stop was requested."""
        before = self.report.phase("evaluate")
        self.model.eval()
        sums: dict[str, float] = defaultdict(float)
        pairs = 0
        for batch in self.get_eval_dataloader():
            if self.report.stop.requested:
                break
            inputs = self._prepare_inputs(batch)
            count = self.batch_rows(inputs)
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = self.compute_loss(self.model, inputs)
            sums["eval_loss"] += count * loss.item()
            for key, measured in self._metrics["eval"].items():
                if (name := series_name(key)) is not None and measured:
                    sums[f"eval_{name}"] += count * measured[-1]
            self._metrics["eval"].clear()
            pairs += count
        values = {}
        if not self.report.stop.requested:
            values = {name: total / pairs for name, total in sums.items()}
            self.log(dict(values))
        self.model.train()
        self.report.phase(before)
        # This marks the pending evaluation as done.
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, values
        )
        return values

    def batch_rows(self, inputs: dict[str, Any]) -> int:
        """Return the number of pairs in a batch."""
        return len(inputs["input_ids"]) // 2


def last_figures(trainer: Any, *, evaluated: bool) -> dict[str, float]:
    """Return the rewards at the last step, and the held-out metrics, evaluating if necessary."""
    last = [entry for entry in trainer.state.log_history if "loss" in entry][-1]
    named = {series_name(key): value for key, value in last.items()}
    figures: dict[str, float] = {
        name: named[name] for name in ("reward_accuracy", "reward_margin") if name in named
    }
    if evaluated:
        values = setup.last_evaluation(trainer)
        figures |= {
            name: values[name]
            for name in ("eval_loss", "eval_reward_accuracy", "eval_reward_margin")
            if name in values
        }
    return figures

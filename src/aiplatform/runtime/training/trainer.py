"""The trainer for SFT, and the checkpoints of all trainers."""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import Trainer
from trl import SFTTrainer

from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.evaluation.loss import TokenLoss, token_losses
from aiplatform.runtime.loading import selects_logits
from aiplatform.runtime.rows import IGNORED, Encoded
from aiplatform.runtime.training import checkpoints, fsdp, ranks, sharding
from aiplatform.runtime.training.packed_rows import PackedRows
from aiplatform.runtime.training.weights import ReplicatedWeights

TRAINER_STATE = "trainer_state.json"


class CheckpointedTrainer(Trainer):  # type: ignore[misc]
    """A base class for trainers whose checkpoints are atomic, announced and free of pickles.

    Subclasses list this class before TRL's trainer. See :mod:`.checkpoints`.
    """

    args: Any
    control: Any
    is_deepspeed_enabled: Any
    is_fsdp_enabled: Any
    lr_scheduler: Any
    model: Any
    state: Any
    trained_weights: ReplicatedWeights

    def __init__(self, *, report: Reporter, **options: Any) -> None:
        super().__init__(**options)
        self.report = report
        self.computed_tokens = 0
        """Tokens of this attempt's steps on this rank, including padding; 0 if not counted."""

    def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
        """Compute the gradients of one batch, and count its tokens."""
        # Methods that generate answers get prompts as texts here.
        if isinstance(inputs, Mapping):
            self.computed_tokens += sum(
                ids.numel() for name, ids in inputs.items() if name.endswith("input_ids")
            )
        return super().training_step(model, inputs, *rest)

    def create_accelerator_and_postprocess(self) -> None:
        """Create the accelerator, and enable FSDP on CPUs, where accelerate silently disables it.

        torch supports FSDP there.
        """
        super().create_accelerator_and_postprocess()
        if self.args.fsdp and not self.is_fsdp_enabled:
            fsdp.enable(self)
        self.trained_weights = sharding.weights_of(self)

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None
    ) -> Any:
        """Prepare as transformers does. With DeepSpeed, load the checkpoint here.

        transformers itself would look for a checkpoint in DeepSpeed's format.
        """
        own = resume_from_checkpoint if self.is_deepspeed_enabled else None
        theirs = None if own else resume_from_checkpoint
        prepared = super()._prepare_for_training(max_steps, train_dataloader, theirs)
        if own is not None:
            self._load_from_checkpoint(own)
            self._load_optimizer_and_scheduler(own)
        return prepared

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ARG002
        # Only the random states differ between ranks.
        states = ranks.gather(random_state())
        weights, optimizer = self.trained_weights.adapter(), self.trained_weights.optimizer_state()
        if states is not None:
            self._write_checkpoint(states, weights, optimizer)
        ranks.barrier()

    def _write_checkpoint(
        self,
        states: list[dict[str, Any]],
        weights: dict[str, Any] | None,
        optimizer: dict[str, Any],
    ) -> None:
        parent = Path(self.args.output_dir)
        partial = checkpoints.partial_directory(parent, self.state.global_step)
        self.trained_weights.save(partial, weights)
        self.state.save_to_json(str(partial / TRAINER_STATE))
        checkpoints.write_state(
            partial,
            {
                "optimizer": optimizer,
                "scheduler": self.lr_scheduler.state_dict(),
                "random": states[0],
                "random_of_others": states[1:],
            },
        )
        final = checkpoints.commit(partial)
        self.report.checkpoint(self.state.global_step, str(final))
        checkpoints.prune(parent)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002
        self.trained_weights.load(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            state = checkpoints.read_state(Path(checkpoint))
            self.trained_weights.set_optimizer_state(state["optimizer"])
            self.lr_scheduler.load_state_dict(state["scheduler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            state = checkpoints.read_state(Path(checkpoint))
            states = [state["random"], *state.get("random_of_others", [])]
            # If there are more ranks than before, the additional ones keep their initial states.
            if ranks.rank() < len(states):
                restore_random_state(states[ranks.rank()])


class MeasuringTrainer(CheckpointedTrainer):
    """A trainer whose evaluations return the metrics from its method :meth:`measure`."""

    callback_handler: Any

    def measure(self) -> dict[str, Any]:
        """Return all figures on the held-out rows; empty if a stop was requested."""
        raise NotImplementedError

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the numbers among the metrics from :meth:`measure`; empty after a stop request."""
        before = self.report.phase("evaluate")
        self.model.eval()
        measured = self.measure()
        values = {name: value for name, value in measured.items() if isinstance(value, float)}
        # TRL's trainers use the model's mode to tell training metrics from evaluation metrics.
        self.model.eval()
        if values:
            self.log(dict(values))
        self.model.train()
        self.report.phase(before)
        # This marks the pending evaluation as done.
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, values
        )
        return values


class PlatformTrainer(CheckpointedTrainer, SFTTrainer):  # type: ignore[misc]
    """A trainer for supervised fine-tuning (SFT) on encoded rows.

    It differs from TRL's trainer as follows:

    - The loss is computed only from the logits of learned positions. TRL also computes entropy and
      accuracy, which takes a third of each step's time.
    - Checkpoints are atomic, announced and free of pickles; see :class:`CheckpointedTrainer`.
    - Evaluations give all tokens the same weight, and are aborted on a stop request.
    """

    def __init__(self, *, held_out: list[Encoded] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.held_out = held_out or []
        self.selects_logits = selects_logits(self.model)

    # -- loss

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the mean cross-entropy of the learned tokens over all batches of the step."""
        if self.aux_loss_enabled or return_outputs or not self.selects_logits:
            # Mixture-of-experts models have an additional loss, and not all models can compute the
            # logits of selected positions.
            inputs = {**attended(inputs), "labels": inputs["labels"], "use_cache": False}
            return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)
        targets = inputs["labels"][:, 1:]
        learned = targets != IGNORED
        positions = learned.any(dim=0).nonzero().squeeze(1)
        outputs = model(**attended(inputs), logits_to_keep=positions, use_cache=False)
        learned = learned[:, positions]
        loss = cross_entropy(
            outputs.logits[learned].float(), targets[:, positions][learned], reduction="sum"
        )
        if num_items_in_batch is None:
            return loss / learned.sum()
        # num_items_in_batch counts the tokens of all ranks, but the ranks' gradients are averaged,
        # not summed.
        return loss * ranks.world_size() / num_items_in_batch

    # -- evaluation

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the loss and perplexity on the held-out rows; empty if a stop was requested."""
        before = self.report.phase("evaluate")
        together = ranks.world_size() > 1
        mean = token_losses(
            self.model,
            sharding.equal_share(self.held_out, ranks.rank(), ranks.world_size())
            if self.trained_weights.needs_equal_steps
            else self.held_out[ranks.rank() :: ranks.world_size()],
            pad=self.processing_class.pad_token_id,
            batch_size=self.args.per_device_eval_batch_size,
            context=self.compute_loss_context_manager,
            # With several ranks, training stops only after a step, when all ranks have agreed to.
            stop=None if together else self.report.stop,
        )
        if together and mean is not None:
            lost, tokens = ranks.sum_over_ranks(
                [mean.loss * mean.tokens if mean.tokens else 0, mean.tokens]
            )
            mean = TokenLoss(lost / tokens if tokens else math.nan, int(tokens))
        self.report.phase(before)
        values = {}
        if mean is not None:
            values = {"eval_loss": mean.loss, "eval_perplexity": mean.perplexity}
            self.log(dict(values))
        # This marks the pending evaluation as done.
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, values
        )
        return values


def random_state() -> dict[str, Any]:
    """Return the states of all random number generators used in training."""
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Restore all random number generators to the states returned by :func:`random_state`."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def attended(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokens of a batch, with the mask or, if rows are packed, the positions.

    Models recognize packed rows by their positions only if there is no mask.
    """
    seen = "position_ids" if "position_ids" in inputs else "attention_mask"
    return {"input_ids": inputs["input_ids"], seen: inputs[seen]}


def as_dataset(texts: Mapping[str, Sequence[Encoded] | Sequence[PackedRows]]) -> Any:
    """Return encoded texts as a dataset for the trainer: an Arrow table in memory, without a cache.

    Args:
        texts: one or more texts for each row, keyed by the prefix of their column names, such as
            ``input_ids`` and ``labels``.
    """
    import pyarrow as pa
    from datasets import Dataset

    columns = {}
    for prefix, encoded in texts.items():
        offsets = pa.array(
            np.cumsum([0, *(len(text.input_ids) for text in encoded)]), type=pa.int64()
        )
        for name in encoded[0]._fields:
            values = pa.array(np.concatenate([getattr(text, name) for text in encoded]))
            columns[f"{prefix}{name}"] = pa.LargeListArray.from_arrays(offsets, values)
    return Dataset(pa.table(columns))


def collate(rows: list[dict[str, list[int]]], pad: int, multiple: int = 1) -> dict[str, Any]:
    """Return a right-padded batch. Padding is masked by position, not by token.

    If rows are packed, the batch contains their positions. Each padding token counts as a separate
    row.
    """
    longest = max(len(row["input_ids"]) for row in rows)
    length = -(-longest // multiple) * multiple
    input_ids = torch.full((len(rows), length), pad, dtype=torch.long)
    labels = torch.full((len(rows), length), IGNORED, dtype=torch.long)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for index, row in enumerate(rows):
        end = len(row["input_ids"])
        input_ids[index, :end] = torch.as_tensor(row["input_ids"])
        labels[index, :end] = torch.as_tensor(row["labels"])
        mask[index, :end] = 1
    batch = {"input_ids": input_ids, "attention_mask": mask, "labels": labels}
    if "position_ids" in rows[0]:
        batch["position_ids"] = torch.zeros_like(input_ids)
        for positions, row in zip(batch["position_ids"], rows, strict=True):
            positions[: len(row["position_ids"])] = torch.as_tensor(row["position_ids"])
    return batch

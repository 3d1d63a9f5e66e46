"""TRL's KTOTrainer adapted to encoded rows, and its held-out metrics."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from trl import KTOTrainer

from aiplatform.runtime.labelled_answers import EncodedAnswers
from aiplatform.runtime.rows import IGNORED
from aiplatform.runtime.training import setup
from aiplatform.runtime.training.reporting import series_name
from aiplatform.runtime.training.trainer import MeasuringTrainer, collate
from aiplatform.runtime.training.trainer import as_dataset as encoded_dataset

Row = dict[str, Any]


class KtoTrainer(MeasuringTrainer, KTOTrainer):  # type: ignore[misc]
    """A trainer for KTO. The reference model is the model with its adapter disabled.

    It differs from TRL's trainer as follows:

    - Rows are already encoded, and are shuffled as in the other methods. TRL pairs each question
      with the answer to another question before training starts, so it must keep the rows in
      order. Here, the collator makes these pairs within each batch.
    - Held-out metrics are computed over all rows together, so that they don't depend on the batch
      size. A stop request aborts an evaluation.
    """

    def __init__(self, *, held_out: EncodedAnswers | None, **options: Any) -> None:
        super().__init__(**options)
        self.held_out = held_out
        self.args.train_sampling_strategy = "random"

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def measure(self) -> dict[str, float]:
        """Return the loss, margin and AUC of the held-out rows; empty if a stop was requested."""
        assert self.held_out is not None
        count = len(self.held_out.rows)
        own, mismatched = [], []
        places = iter(range(count))
        while some := list(islice(places, self.args.per_device_eval_batch_size)):
            if self.report.stop.requested:
                return {}
            # Neighbours often share their question, so each question gets an answer from far away.
            inputs = self._prepare_inputs(
                make_batch(
                    [row_at(self.held_out, place) for place in some],
                    [row_at(self.held_out, (place + count // 2) % count) for place in some],
                    pad=self.processing_class.pad_token_id,
                    max_length=self.args.max_length,
                )
            )
            with torch.no_grad(), self.compute_loss_context_manager():
                own.append(self.log_ratios(inputs).cpu())
                if self.calculate_KL:
                    mismatched.append(self.log_ratios(inputs, "KL_").cpu())
        return figures(
            torch.cat(own),
            torch.tensor(self.held_out.good),
            torch.cat(mismatched).mean().clamp(min=0) if mismatched else torch.tensor(0.0),
            beta=self.beta,
            weights=(self.desirable_weight, self.undesirable_weight),
        )

    def log_ratios(self, inputs: dict[str, Any], prefix: str = "") -> Any:
        """Return the log-ratio of each answer's probability to that under the reference model."""
        tuned = answer_logps(self.model, inputs, prefix)
        with self.model.disable_adapter():
            return tuned - answer_logps(self.model, inputs, prefix)


def answer_logps(model: Any, inputs: dict[str, Any], prefix: str) -> Any:
    """Return the log-probability of each answer of a batch."""
    input_ids = inputs[f"{prefix}input_ids"]
    outputs = model(
        input_ids=input_ids,
        attention_mask=inputs[f"{prefix}attention_mask"],
        labels=input_ids.masked_fill(inputs[f"{prefix}completion_mask"] == 0, IGNORED),
        use_cache=False,
        fused_lm_head=True,
    )
    return outputs.log_probs.sum(dim=1).float()


def figures(
    log_ratios: Any, good: Any, kl: Any, *, beta: float, weights: tuple[float, float]
) -> dict[str, float]:
    """Return the loss, reward margin and AUC of labelled answers.

    The AUC is computed over all pairs of a good and a bad answer: it is the share in which the good
    answer has the higher reward. Pairs with equal rewards count half.

    Args:
        log_ratios: The log-ratio of each answer's probability to that under the reference model.
        good: True for each good answer.
        kl: The mean log-ratio of mismatched answers, or 0 if it is negative.
        beta: The factor of the rewards.
        weights: The weights of good and bad answers.
    """
    signs = good.float() * 2 - 1
    losses = 1 - torch.sigmoid(beta * signs * (log_ratios - kl))
    losses = losses * torch.where(good, *(losses.new_tensor(weight) for weight in weights))
    rewards = beta * log_ratios
    good_rewards, bad_rewards = rewards[good], rewards[~good].sort().values
    lower = torch.searchsorted(bad_rewards, good_rewards)
    not_higher = torch.searchsorted(bad_rewards, good_rewards, right=True)
    pairs = len(good_rewards) * len(bad_rewards)
    return {
        "eval_loss": losses.mean().item(),
        "eval_reward_margin": (good_rewards.mean() - bad_rewards.mean()).item(),
        "eval_reward_auc": (lower + not_higher).sum().item() / 2 / pairs,
    }


def as_dataset(answers: EncodedAnswers) -> Any:
    """Return encoded answers as a dataset for the trainer."""
    return encoded_dataset({"": answers.rows}).add_column("good", answers.good)


def row_at(answers: EncodedAnswers, place: int) -> Row:
    """Return an encoded answer as a row of the trainer's dataset."""
    row = answers.rows[place]
    return {**row._asdict(), "good": answers.good[place]}


def collate_answers(rows: Sequence[Row], pad: int, max_length: int) -> dict[str, Any]:
    """Return a batch of rows, and of their questions with the answer of the next row."""
    return make_batch(rows, [*rows[1:], *rows[:1]], pad=pad, max_length=max_length)


def make_batch(
    rows: Sequence[Row], others: Sequence[Row], *, pad: int, max_length: int
) -> dict[str, Any]:
    """Return a right-padded batch of rows, and of their questions with the answers of ``others``.

    The keys of the questions with other answers begin with ``KL_``. ``completion_mask`` is 1 at the
    tokens of the answers.
    """
    pairs = zip(rows, others, strict=True)
    mismatched = [_swap_answer(row, other, max_length) for row, other in pairs]
    batch = {"label": torch.tensor([row["good"] for row in rows])}
    for prefix, texts in (("", list(rows)), ("KL_", mismatched)):
        made = collate(texts, pad)
        batch[f"{prefix}input_ids"] = made["input_ids"]
        batch[f"{prefix}attention_mask"] = made["attention_mask"]
        batch[f"{prefix}completion_mask"] = (made["labels"] != IGNORED).long()
    return batch


def _swap_answer(row: Row, other: Row, max_length: int) -> Row:
    """Return the question of a row with the answer of another row, cut to ``max_length``."""
    asked, answered = (_start(each["labels"]) for each in (row, other))
    return {
        name: [*row[name][:asked], *other[name][answered:]][:max_length]
        for name in ("input_ids", "labels")
    }


def _start(labels: Sequence[int]) -> int:
    return next(place for place, label in enumerate(labels) if label != IGNORED)


def last_figures(trainer: Any, *, evaluated: bool) -> dict[str, float]:
    """Return the last reward margin, and the held-out metrics, evaluating if necessary.

    A step whose batch has only good or only bad answers has no margin.
    """
    figures: dict[str, float] = {}
    for entry in trainer.state.log_history:
        named = {series_name(key): value for key, value in entry.items()}
        if "reward_margin" in named:
            figures["reward_margin"] = named["reward_margin"]
    if evaluated:
        values = setup.last_evaluation(trainer)
        names = ("eval_loss", "eval_reward_margin", "eval_reward_auc")
        figures |= {name: values[name] for name in names if name in values}
    return figures

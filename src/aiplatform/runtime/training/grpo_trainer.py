"""TRL's GRPOTrainer adapted to encoded prompts and our rewards, and its held-out metrics."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from transformers import GenerationConfig
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from aiplatform.runtime.prompts import Prompt
from aiplatform.runtime.training import setup
from aiplatform.runtime.training.reporting import series_name
from aiplatform.runtime.training.rewards import Answer, Scorer
from aiplatform.runtime.training.trainer import MeasuringTrainer


class GrpoTrainer(MeasuringTrainer, GRPOTrainer):  # type: ignore[misc]
    """A trainer for GRPO. The reference model is the model with its adapter disabled.

    It differs from TRL's trainer as follows:

    - Prompts are already encoded.
    - The order of the rows depends only on the seed and the epoch, so that a training run that
      resumes in a later epoch gets the same rows.
    - Held-out metrics are computed from the most likely answer to each prompt. A stop request
      aborts an evaluation.
    """

    generation_config: Any
    generation_kwargs: dict[str, Any]

    def __init__(
        self, *, scorers: Sequence[Scorer], held_out: Sequence[Prompt], **options: Any
    ) -> None:
        super().__init__(reward_funcs=list(scorers), **options)
        self.scorers = scorers
        self.held_out = held_out

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return PromptSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.args.steps_per_generation,
            seed=self.args.seed,
        )

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[Any], None, dict[str, Any]]:
        return prompts, None, {}

    def measure(self) -> dict[str, float]:
        """Return the mean rewards of the held-out rows; empty if a stop was requested."""
        found = self.measure_answers()
        return {f"eval_{name}": value for name, value in found.items()}

    def measure_base(self) -> dict[str, float]:
        """Return the mean rewards of the base model's answers; empty if a stop was requested."""
        self.model.eval()
        with self.model.disable_adapter():
            return self.measure_answers()

    def measure_answers(self) -> dict[str, float]:
        """Return the mean rewards and the length of the most likely answers to held-out prompts."""
        rewards: list[list[float]] = []
        lengths: list[int] = []
        cut = 0
        prompts = iter(self.held_out)
        while batch := list(islice(prompts, self.args.per_device_eval_batch_size)):
            if self.report.stop.requested:
                return {}
            with self._most_likely_tokens():
                ids, _ = self._generate_single_turn([row.input_ids for row in batch], None, {}, 1)
            texts = self.processing_class.batch_decode(ids, skip_special_tokens=True)
            lengths += map(len, ids)
            cut += sum(tokens[-1] not in self.eos_token_ids for tokens in ids)
            for row, text, tokens in zip(batch, texts, ids, strict=True):
                answer = Answer(text, len(tokens))
                place = f"row {row.number} of the held-out dataset"
                rewards.append(
                    [each.score(answer, row.reference, place=place) for each in self.scorers]
                )
        means = torch.tensor(rewards, dtype=torch.float64).mean(dim=0)
        weights = torch.tensor([each.reward.weight for each in self.scorers], dtype=torch.float64)
        names = [f"reward_{each.__name__}" for each in self.scorers]
        return {
            "mean_reward": (means * weights).sum().item(),
            **dict(zip(names, means.tolist(), strict=True)),
            "answer_tokens": sum(lengths) / len(lengths),
            "cut_answers_share": cut / len(lengths),
        }

    @contextmanager
    def _most_likely_tokens(self) -> Iterator[None]:
        """Make the trainer generate the most likely tokens instead of sampling, in this context."""
        before = self.generation_config, self.generation_kwargs
        sampling = ("temperature", "top_p", "top_k", "min_p")
        self.generation_kwargs = {
            **{name: value for name, value in before[1].items() if name not in sampling},
            "do_sample": False,
        }
        self.generation_config = GenerationConfig(**self.generation_kwargs, disable_compile=True)
        try:
            yield
        finally:
            self.generation_config, self.generation_kwargs = before


class PromptSampler(RepeatSampler):  # type: ignore[misc]
    """A sampler whose order of the prompts depends only on the seed and the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Set the order for an epoch; the first epoch is 0."""
        self.generator.manual_seed(self.seed + epoch)


def as_dataset(prompts: Sequence[Prompt]) -> Any:
    """Return prompts as a dataset for the trainer."""
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "prompt": [row.input_ids for row in prompts],
            "number": [row.number for row in prompts],
            "reference": [row.reference for row in prompts],
        }
    )


def last_figures(trainer: Any, *, evaluated: bool) -> dict[str, float]:
    """Return the first and last mean reward, and the held-out metrics, evaluating if necessary.

    The held-out metrics include those of the base model, whose names end in ``_before``.
    """
    rewards = [
        value
        for entry in trainer.state.log_history
        for key, value in entry.items()
        if series_name(key) == "mean_reward"
    ]
    figures = {"mean_reward_first": rewards[0], "mean_reward_last": rewards[-1]}
    if evaluated:
        values = setup.last_evaluation(trainer)
        figures |= {name: value for name, value in values.items() if name.startswith("eval_")}
        base = trainer.measure_base()
        figures |= {f"eval_{name}_before": value for name, value in base.items()}
    return figures

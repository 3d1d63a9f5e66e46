"""TRL's DPOTrainer adapted to encoded pairs, and a trainer for ORPO that builds on it."""

from typing import Any

import torch
from torch.nn.functional import logsigmoid
from trl import DPOTrainer

from aiplatform.runtime.training.preferences import PreferenceTrainer


class DpoTrainer(PreferenceTrainer, DPOTrainer):  # type: ignore[misc]
    """A trainer for DPO. The reference model is the model with its adapter disabled."""


class OrpoTrainer(DpoTrainer):
    """A trainer for ORPO (Hong et al. 2024, arXiv:2403.07691).

    TRL has only an experimental ORPO trainer, which tokenizes differently and also learns the
    prompt's tokens.
    """

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: ARG002
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        """Return the loss of the chosen answers plus ``beta`` times the loss of the odds ratios."""
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=labels,
            use_cache=False,
            fused_lm_head=True,
        )
        tokens = inputs["completion_mask"][:, 1:].sum(dim=1)
        logps = outputs.log_probs.sum(dim=1)
        chosen_logps, rejected_logps = logps.chunk(2)
        # The probability of an answer is the geometric mean of its tokens' probabilities.
        chosen, rejected = (logps / tokens).chunk(2)
        log_odds = chosen - rejected - (log1mexp(chosen) - log1mexp(rejected))
        chosen_loss = -chosen_logps.sum() / tokens.chunk(2)[0].sum()
        loss = chosen_loss - self.beta * logsigmoid(log_odds).mean()
        rewards = [self.beta * side.detach() for side in (chosen, rejected)]
        measured = {
            "rewards/chosen": rewards[0].mean(),
            "rewards/rejected": rewards[1].mean(),
            "rewards/accuracies": (rewards[0] > rewards[1]).float().mean(),
            "rewards/margins": (rewards[0] - rewards[1]).mean(),
            "logps/chosen": chosen_logps.detach().mean(),
            "logps/rejected": rejected_logps.detach().mean(),
            "nll_loss": chosen_loss.detach(),
        }
        metrics = self._metrics["train" if self.model.training else "eval"]
        for name, value in measured.items():
            metrics[name].append(value.item())
        return loss


def log1mexp(x: Any) -> Any:
    """Return ``log(1 - exp(x))`` for ``x < 0`` without loss of precision (Mächler 2012)."""
    x = x.clamp(max=-1e-7)
    return torch.where(x > -0.693147, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))

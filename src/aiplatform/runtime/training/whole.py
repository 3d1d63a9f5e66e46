"""Weights of which each rank holds all, and what the ways to share them out must be able to do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Whole:
    """Each rank holds all of the adapter and of the optimizer's state.

    The ways to share them out differ in these methods. All ranks call them, at the same step.
    """

    evenly: bool = False
    """Whether all ranks must go through the layers equally often, since each needs all of them."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def adapter(self) -> dict[str, Any] | None:
        """The trained weights, whole and on the CPU, by the model's own names.

        None where the model itself has them.
        """
        return None

    def set_adapter(self, weights: Mapping[str, Any]) -> None:
        """Take over an adapter as PEFT has stored it.

        Raises:
            ValueError: when it is of another model.
        """
        from peft import set_peft_model_state_dict

        outcome = set_peft_model_state_dict(self.trainer.model, dict(weights))
        if outcome.unexpected_keys:
            raise ValueError(f"the checkpoint is of another model: {outcome.unexpected_keys[:3]}")

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state, whole; it only counts on rank 0."""
        state: dict[str, Any] = self.trainer.optimizer.state_dict()
        return state

    def set_optimizer_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`optimizer_state` gave."""
        self.trainer.optimizer.load_state_dict(state)

    def model(self, base: Path, precision: Any, adapter: Any) -> Any:  # noqa: ARG002
        """The trained model as one rank can merge and save it; it only counts on rank 0."""
        return self.trainer.model


class Shared(Whole):
    """Each rank holds a share, by which the model can't be merged in its place."""

    def model(self, base: Path, precision: Any, adapter: Any) -> Any:
        """The base model anew, with the adapter that was trained."""
        from peft import get_peft_model

        from aiplatform.runtime.loading import load_weights
        from aiplatform.runtime.training import ranks

        weights = self.adapter() or {}
        if ranks.own() > 0:
            return None
        model = get_peft_model(load_weights(base, precision), adapter)
        for name, parameter in trained(model):
            parameter.data.copy_(weights[name])
        return model


def trained(model: Any) -> list[tuple[str, Any]]:
    """The parameters that are trained, with their names; in the same order on all ranks."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def stored_as(name: str) -> str:
    """A weight's name as PEFT stores it, which leaves the adapter's own name out."""
    return name.replace(".default.", ".")

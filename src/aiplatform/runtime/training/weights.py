"""Reading and writing of trained weights, which each rank holds in full or as a shard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

ADAPTER_FILE = "adapter_model.safetensors"
FULL_FILE = "model.safetensors"


class ReplicatedWeights:
    """The trained weights if each rank holds the whole adapter and optimizer state.

    Subclasses for sharded weights override the methods. All ranks call them at the same step.
    """

    needs_equal_steps: bool = False
    """True if all ranks must compute the layers equally often, because they exchange weights."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def save(self, directory: Path, weights: dict[str, Any] | None) -> None:
        """Write the trained weights to a checkpoint; only called on rank 0.

        Args:
            directory: The directory of the checkpoint.
            weights: The result of :meth:`adapter`.
        """
        self.trainer.model.save_pretrained(
            directory, state_dict=weights, save_embedding_layers=False
        )

    def load(self, checkpoint: Path) -> None:
        """Load the trained weights from a checkpoint.

        Raises:
            ValueError: The checkpoint belongs to another model.
        """
        from safetensors.torch import load_file

        self.set_adapter(load_file(checkpoint / ADAPTER_FILE))

    def adapter(self) -> dict[str, Any] | None:
        """Return all trained weights on the CPU, keyed by the model's names for them.

        The result is None if this rank's model itself contains all the weights.
        """
        return None

    def set_adapter(self, weights: Mapping[str, Any]) -> None:
        """Load an adapter stored by PEFT.

        Raises:
            ValueError: The adapter belongs to another model.
        """
        from peft import set_peft_model_state_dict

        outcome = set_peft_model_state_dict(self.trainer.model, dict(weights))
        if outcome.unexpected_keys:
            raise ValueError(f"the checkpoint is of another model: {outcome.unexpected_keys[:3]}")

    def optimizer_state(self) -> dict[str, Any]:
        """Return the complete state of the optimizer; only the result on rank 0 is used."""
        state: dict[str, Any] = self.trainer.optimizer.state_dict()
        return state

    def set_optimizer_state(self, state: dict[str, Any]) -> None:
        """Load a state returned by :meth:`optimizer_state`."""
        self.trainer.optimizer.load_state_dict(state)

    def model(self, base: Path, precision: Any, adapter: Any) -> Any:  # noqa: ARG002
        """Return the trained model, ready to be merged and saved; only used on rank 0."""
        return self.trainer.model


class FullWeights(ReplicatedWeights):
    """All weights of a model that is trained without an adapter."""

    def save(self, directory: Path, weights: dict[str, Any] | None) -> None:  # noqa: ARG002
        """Write the model's weights to a checkpoint; tied weights are written only once."""
        from safetensors.torch import save_file

        tensors = {
            name: parameter.detach().cpu().contiguous()
            for name, parameter in trained_parameters(self.trainer.model)
        }
        save_file(tensors, directory / FULL_FILE)

    def load(self, checkpoint: Path) -> None:
        """Load the model's weights from a checkpoint; see :class:`ReplicatedWeights`."""
        import torch
        from safetensors.torch import load_file

        stored = load_file(checkpoint / FULL_FILE)
        with torch.no_grad():
            for name, parameter in trained_parameters(self.trainer.model):
                if name not in stored or stored[name].shape != parameter.shape:
                    raise ValueError(f"the checkpoint is of another model: {name}")
                parameter.copy_(stored[name])


class ShardedWeights(ReplicatedWeights):
    """Sharded trained weights. No rank holds the whole model, so none can merge the adapter."""

    def model(self, base: Path, precision: Any, adapter: Any) -> Any:
        """Load the base model again and return it with the trained adapter.

        The result is None on all ranks except rank 0.
        """
        from peft import get_peft_model

        from aiplatform.runtime.loading import load_weights
        from aiplatform.runtime.training import ranks

        weights = self.adapter() or {}
        if ranks.rank() > 0:
            return None
        model = get_peft_model(load_weights(base, precision), adapter)
        for name, parameter in trained_parameters(model):
            parameter.data.copy_(weights[name])
        return model


def trained_parameters(model: Any) -> list[tuple[str, Any]]:
    """Return the trained parameters with their names, in the same order on all ranks."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def stored_name(name: str) -> str:
    """Return the name under which PEFT stores a weight, which omits the adapter's name."""
    return name.replace(".default.", ".")

"""Sharding of weights among ranks with torch's FSDP2."""

from collections.abc import Mapping
from typing import Any

from aiplatform.protocol.accelerator_options import FsdpOptions
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.training.weights import ShardedWeights, stored_name, trained_parameters


class Fsdp(ShardedWeights):
    """The trained weights and optimizer state of a model that FSDP2 shards layer by layer."""

    needs_equal_steps = True

    def adapter(self) -> dict[str, Any]:
        """Return the trained weights; see :class:`ReplicatedWeights`."""
        from torch.distributed.tensor import DTensor

        found = {}
        for name, parameter in trained_parameters(self.trainer.model):
            whole = parameter.detach()
            whole = whole.full_tensor() if isinstance(whole, DTensor) else whole
            found[name] = whole.cpu()
        return found

    def set_adapter(self, weights: Mapping[str, Any]) -> None:
        """Load an adapter's weights; see :class:`ReplicatedWeights`."""
        import torch
        from torch.distributed.tensor import DTensor, distribute_tensor

        with torch.no_grad():
            for name, parameter in trained_parameters(self.trainer.model):
                stored = weights.get(stored_name(name))
                if stored is None or stored.shape != parameter.shape:
                    raise ValueError(f"the checkpoint is of another model: {name}")
                value = stored.to(parameter.device)
                if isinstance(parameter, DTensor):
                    value = distribute_tensor(value, parameter.device_mesh, parameter.placements)
                parameter.copy_(value)

    def optimizer_state(self) -> dict[str, Any]:
        """Return the optimizer's state by weight name; see :class:`ReplicatedWeights`.

        It is empty on all ranks except rank 0.
        """
        from torch.distributed.checkpoint.state_dict import (
            StateDictOptions,
            get_optimizer_state_dict,
        )

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return dict(
            get_optimizer_state_dict(self.trainer.model, self._torch_optimizer(), options=options)
        )

    def set_optimizer_state(self, state: dict[str, Any]) -> None:
        """Load an optimizer state; see :class:`ReplicatedWeights`."""
        from torch.distributed.checkpoint.state_dict import (
            StateDictOptions,
            set_optimizer_state_dict,
        )

        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(
            self.trainer.model, self._torch_optimizer(), state, options=options
        )

    def _torch_optimizer(self) -> Any:
        """Return torch's optimizer, which accelerate wraps."""
        return getattr(self.trainer.optimizer, "optimizer", self.trainer.optimizer)


def trainer_options(fsdp: FsdpOptions) -> dict[str, Any]:
    """Return the options as arguments for transformers' ``TrainingArguments``."""
    config: dict[str, Any] = {
        "version": 2,
        "reshard_after_forward": fsdp.strategy == "full_shard",
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    }
    if fsdp.layers is not None:
        config["transformer_layer_cls_to_wrap"] = fsdp.layers
    return {"fsdp": True, "fsdp_config": config}


def require_shardable(model: Any, fsdp: FsdpOptions) -> None:
    """Raise an error unless the model has all of the named layer classes.

    Raises:
        JobError: The model lacks one of these classes.
    """
    known = {type(module).__name__ for module in model.modules()}
    if missing := sorted(set(fsdp.layers or []) - known):
        raise JobError(
            f"accelerator.fsdp.layers: the base model has no {', '.join(missing)}; its decoder "
            f"layers are {', '.join(sorted(getattr(model, '_no_split_modules', None) or []))}."
        )


def enable(trainer: Any) -> None:
    """Enable FSDP on processes without GPUs.

    accelerate silently disables it there, although torch supports it.
    """
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    state = trainer.accelerator.state
    plugin = FullyShardedDataParallelPlugin(**trainer.args.fsdp_plugin_args)
    if state.mixed_precision != "no":
        plugin.set_mixed_precision(state.mixed_precision)
    state.distributed_type = DistributedType.FSDP
    state.fsdp_plugin = plugin
    trainer.is_fsdp_enabled = True

"""Weights of which each rank holds a share (FSDP2): taken together, and shared out again.

Only the adapter is trained and kept. What takes shares together must be called by all ranks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.protocol.accelerating import AcceleratorOptions
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.rows import IGNORED, Encoded


def trainer_options(accelerator: AcceleratorOptions | None) -> dict[str, Any]:
    """What of them transformers' ``TrainingArguments`` take."""
    if accelerator is None:
        return {}
    options: dict[str, Any] = {
        "accelerator_config": accelerator.model_dump(exclude_none=True, exclude={"fsdp"})
    }
    if accelerator.fsdp is not None:
        config: dict[str, Any] = {
            "version": 2,
            "reshard_after_forward": accelerator.fsdp.strategy == "full_shard",
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        }
        if accelerator.fsdp.layers is not None:
            config["transformer_layer_cls_to_wrap"] = accelerator.fsdp.layers
        options |= {"fsdp": True, "fsdp_config": config}
    return options


def require_shardable(model: Any, accelerator: AcceleratorOptions | None) -> None:
    """Refuse what can't be sharded, when that is wanted.

    Raises:
        JobError: for quantized weights, and for classes that the model does not have.
    """
    if accelerator is None or accelerator.fsdp is None:
        return
    if getattr(model.config, "quantization_config", None) is not None:
        raise JobError(
            "accelerator.fsdp: the base model is quantized, and such weights are not sharded. "
            "Take the model in bf16 or fp32, or leave fsdp out."
        )
    known = {type(module).__name__ for module in model.modules()}
    if missing := sorted(set(accelerator.fsdp.layers or []) - known):
        raise JobError(
            f"accelerator.fsdp.layers: the base model has no {', '.join(missing)}; its decoder "
            f"layers are {', '.join(sorted(getattr(model, '_no_split_modules', None) or []))}."
        )


def enable(state: Any, options: Mapping[str, Any]) -> None:
    """Have accelerate shard on processes without GPUs, too."""
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    plugin = FullyShardedDataParallelPlugin(**options)
    if state.mixed_precision != "no":
        plugin.set_mixed_precision(state.mixed_precision)
    state.distributed_type = DistributedType.FSDP
    state.fsdp_plugin = plugin


def adapter_weights(model: Any) -> dict[str, Any]:
    """The trained weights, whole and on the CPU, by the model's own names."""
    from torch.distributed.tensor import DTensor

    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            whole = parameter.detach()
            whole = whole.full_tensor() if isinstance(whole, DTensor) else whole
            found[name] = whole.cpu()
    return found


def set_adapter_weights(model: Any, weights: Mapping[str, Any]) -> None:
    """Share out an adapter as PEFT has stored it, which leaves its own name out of the others.

    Raises:
        ValueError: when it is of another model.
    """
    import torch
    from torch.distributed.tensor import DTensor, distribute_tensor

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            stored = weights.get(name.replace(".default.", "."))
            if stored is None or stored.shape != parameter.shape:
                raise ValueError(f"the checkpoint is of another model: {name}")
            value = stored.to(parameter.device)
            if isinstance(parameter, DTensor):
                value = distribute_tensor(value, parameter.device_mesh, parameter.placements)
            parameter.copy_(value)


def optimizer_state(model: Any, optimizer: Any) -> dict[str, Any]:
    """The optimizer's state, whole and by the names of weights; empty but for rank 0."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_optimizer_state_dict(model, _own(optimizer), options=options))


def set_optimizer_state(model: Any, optimizer: Any, state: dict[str, Any]) -> None:
    """Share out what :func:`optimizer_state` gave."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(model, _own(optimizer), state, options=options)


def _own(optimizer: Any) -> Any:
    """torch's optimizer below accelerate's."""
    return getattr(optimizer, "optimizer", optimizer)


def as_many(rows: list[Encoded], own: int, count: int) -> list[Encoded]:
    """One rank's rows, as many as any other's: all must go through the layers equally often.

    What makes up for a missing row has nothing to be learned, and so counts for nothing.
    """
    share = rows[own::count]
    if rows and len(share) < -(-len(rows) // count):
        like = rows[0]
        share.append(like._replace(labels=np.full_like(like.labels, IGNORED)))
    return share


def whole_model(base: Path, precision: Any, adapter: Any, weights: Mapping[str, Any]) -> Any:
    """The base model anew, with an adapter of these weights: what one rank can merge and save."""
    from peft import get_peft_model

    from aiplatform.runtime.loading import load_weights

    model = get_peft_model(load_weights(base, precision), adapter)
    set_adapter_weights(
        model, {name.replace(".default.", "."): value for name, value in weights.items()}
    )
    return model

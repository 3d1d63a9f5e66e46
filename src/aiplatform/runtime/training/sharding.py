"""Selection of how training ranks hold the weights: in full, or in shards with FSDP2 or ZeRO.

Checkpoints and results always contain all trained weights; see :class:`.weights.ReplicatedWeights`.
"""

from typing import Any

import numpy as np

from aiplatform.protocol.accelerator_options import AcceleratorOptions
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.rows import IGNORED, Encoded
from aiplatform.runtime.training import fsdp, zero
from aiplatform.runtime.training.weights import FullWeights, ReplicatedWeights


def trainer_options(accelerator: AcceleratorOptions | None) -> dict[str, Any]:
    """Return the options as arguments for transformers' ``TrainingArguments``."""
    if accelerator is None:
        return {}
    plain = accelerator.model_dump(exclude_none=True, exclude={"fsdp", "deepspeed"})
    options: dict[str, Any] = {"accelerator_config": plain}
    if accelerator.fsdp is not None:
        options |= fsdp.trainer_options(accelerator.fsdp)
    if accelerator.deepspeed is not None:
        options |= zero.trainer_options(accelerator.deepspeed)
    return options


def prepare(accelerator: AcceleratorOptions | None) -> None:
    """Import the packages that sharding needs.

    Raises:
        ModuleNotFoundError: DeepSpeed is needed but not installed.
    """
    if accelerator is not None and accelerator.deepspeed is not None:
        zero.prepare()


def require_shardable(model: Any, accelerator: AcceleratorOptions | None) -> None:
    """Raise an error if the model's weights should be sharded but can't be.

    Raises:
        JobError: The weights are quantized, or the model lacks one of the named layer classes.
    """
    if accelerator is None:
        return
    config = accelerator.deepspeed
    weights = config is not None and config.zero_optimization.stage == 3
    wanted = "fsdp" if accelerator.fsdp is not None else "deepspeed" if weights else None
    if wanted and getattr(model.config, "quantization_config", None) is not None:
        raise JobError(
            f"accelerator.{wanted}: the base model is quantized, and such weights are not sharded. "
            f"Take the model in bf16 or fp32, or "
            f"{'take stage 2' if weights else 'leave fsdp out'}."
        )
    if accelerator.fsdp is not None:
        fsdp.require_shardable(model, accelerator.fsdp)


def weights_of(trainer: Any) -> ReplicatedWeights:
    """Return the object that reads and writes the weights as this trainer's ranks hold them."""
    if trainer.is_fsdp_enabled:
        return fsdp.Fsdp(trainer)
    if trainer.is_deepspeed_enabled:
        return zero.Zero(trainer)
    return (
        ReplicatedWeights(trainer)
        if hasattr(trainer.model, "peft_config")
        else FullWeights(trainer)
    )


def equal_share(rows: list[Encoded], rank: int, world_size: int) -> list[Encoded]:
    """Return the rows of one rank, such that every rank has the same number of rows.

    This is needed if all ranks must compute the layers equally often. A row that is added to reach
    that number has no tokens to learn, so that it doesn't affect the loss.
    """
    share = rows[rank::world_size]
    if rows and len(share) < -(-len(rows) // world_size):
        like = rows[0]
        share.append(like._replace(labels=np.full_like(like.labels, IGNORED)))
    return share

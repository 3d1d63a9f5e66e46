"""Weights, gradients and AdamW's state of which each rank holds a share, by DeepSpeed's ZeRO.

Its own checkpoints are pickles of shares; ours hold whole tensors by the names of weights.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aiplatform.protocol.deepspeed import AUTO, DeepspeedConfig
from aiplatform.runtime.training.whole import Shared, stored_as, trained

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What AdamW keeps of each weight."""


class Zero(Shared):
    """ZeRO of any stage; the weights themselves are shared out from stage 3 on.

    What is trained is kept in fp32 by ZeRO's optimizer; the model's own may be copies in bf16.
    """

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        self.evenly = trainer.accelerator.state.deepspeed_plugin.zero_stage == 3

    def adapter(self) -> dict[str, Any]:
        """See :class:`Whole`. In fp32."""
        from deepspeed.utils import safe_get_full_fp32_param

        return {
            name: _like(safe_get_full_fp32_param(parameter), parameter)
            for name, parameter in trained(self.trainer.model)
        }

    def set_adapter(self, weights: Mapping[str, Any]) -> None:
        """See :class:`Whole`."""
        import deepspeed
        import torch
        from deepspeed.utils import safe_set_full_fp32_param

        for name, parameter in trained(self.trainer.model):
            stored = weights.get(stored_as(name))
            if stored is None or stored.shape != _shape(parameter):
                raise ValueError(f"the checkpoint is of another model: {name}")
            value = stored.float().to(parameter.device)
            safe_set_full_fp32_param(parameter, value)
            with torch.no_grad(), deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
                parameter.copy_(value)

    def optimizer_state(self) -> dict[str, Any]:
        """See :class:`Whole`. By the names of weights."""
        from deepspeed.utils import safe_get_full_optimizer_state

        torchs = self._zero().optimizer
        if not torchs.state:  # every step so far was skipped, for gradients that were no numbers
            self._begin(0)
        moments = {
            name: {
                key: _like(safe_get_full_optimizer_state(parameter, key), parameter)
                for key in MOMENTS
            }
            for name, parameter in trained(self.trainer.model)
        }
        return {
            "state": moments,
            "step": max(float(state["step"]) for state in torchs.state.values()),
            "lr": [group["lr"] for group in torchs.param_groups],
        }

    def set_optimizer_state(self, state: dict[str, Any]) -> None:
        """See :class:`Whole`."""
        from deepspeed.utils import safe_set_full_optimizer_state

        self._begin(state["step"])
        for name, parameter in trained(self.trainer.model):
            for key in MOMENTS:
                value = state["state"][name][key].to(parameter.device)
                safe_set_full_optimizer_state(parameter, value, key)
        for group, rate in zip(self._zero().optimizer.param_groups, state["lr"], strict=True):
            group["lr"] = rate

    def model(self, base: Path, precision: Any, adapter: Any) -> Any:
        """See :class:`Shared`."""
        # From here on models are loaded whole again: transformers shares out any that comes.
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
        return super().model(base, precision, adapter)

    def _begin(self, step: float) -> None:
        """Make AdamW's state as its first step would, since it has none before it, at ``step``."""
        import torch
        from deepspeed.utils.mixed_precision_linkage import lazy_init_hp_params_optimizer_state

        zero = self._zero()
        for flat, group, weights in _flats(zero):
            zero.optimizer.state[flat] = {
                "step": torch.tensor(
                    float(step), device=flat.device if group.get("fused") else "cpu"
                ),
                **{key: torch.zeros_like(flat) for key in MOMENTS},
            }
            if weights is not None:
                lazy_init_hp_params_optimizer_state(weights, flat, zero.optimizer.state)

    def _zero(self) -> Any:
        """ZeRO's optimizer, below accelerate's and above torch's."""
        return self.trainer.deepspeed.optimizer


def _flats(zero: Any) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    """The tensors that torch's optimizer sees: all weights of a group, one after the other.

    Each with its group and, where they must be told of its state, the weights.
    """
    groups = zero.optimizer.param_groups
    if hasattr(zero, "fp32_partitioned_groups_flat"):  # stage 3, where a group may have many
        for flat, index in zip(
            zero.fp32_partitioned_groups_flat, zero.sub_group_to_group_id.values(), strict=True
        ):
            yield flat, groups[index], None
    else:
        yield from zip(zero.single_partition_of_fp32_groups, groups, zero.bit16_groups, strict=True)


def _shape(parameter: Any) -> Any:
    """A weight's own shape; of one that is shared out there is nothing left in its place."""
    return getattr(parameter, "ds_shape", parameter.shape)


def _like(value: Any, parameter: Any) -> Any:
    return value.detach().reshape(_shape(parameter)).cpu()


def trainer_options(config: DeepspeedConfig) -> dict[str, Any]:
    """What of it transformers' ``TrainingArguments`` take.

    What it leaves open is as without DeepSpeed. AdamW is always torch's: DeepSpeed's own are
    compiled on the worker when they are first used.
    """
    # Transformers takes the spec's numbers for what is "auto", but the whole batch, before it knows
    # how many ranks there are; DeepSpeed multiplies itself.
    elsewhere = {"bf16", "fp16", "optimizer", "scheduler", "train_batch_size"}
    given = config.model_dump(mode="json", exclude=elsewhere)
    given["train_micro_batch_size_per_gpu"] = given["gradient_accumulation_steps"] = AUTO
    given.setdefault("gradient_clipping", AUTO)
    given["bf16"] = {"enabled": AUTO}
    given["zero_allow_untested_optimizer"] = True
    given["zero_force_ds_cpu_optimizer"] = False
    given.setdefault("steps_per_print", 10**9)  # the platform says it better
    options: dict[str, Any] = {"deepspeed": given}
    if config.gradient_clipping not in {None, AUTO}:
        options["max_grad_norm"] = config.gradient_clipping
    if config.optimizer is not None:
        betas, epsilon = config.optimizer.params.betas, config.optimizer.params.eps
        if betas is not None and betas != AUTO:
            options |= {"adam_beta1": betas[0], "adam_beta2": betas[1]}
        if epsilon is not None and epsilon != AUTO:
            options["adam_epsilon"] = epsilon
    return options


def prepare() -> None:
    """Import DeepSpeed, and keep it from compiling what only inference on CPUs uses.

    Raises:
        ModuleNotFoundError: on a worker that does not have it.
    """
    import deepspeed
    from deepspeed.ops.op_builder import cpu as builders

    shared_memory = getattr(builders, "ShareMemCommBuilder", None)
    if shared_memory is not None:
        deepspeed.ops.__compatible_ops__[shared_memory.NAME] = False

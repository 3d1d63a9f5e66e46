"""Sharding of weights, gradients and AdamW's state among ranks with DeepSpeed's ZeRO.

DeepSpeed's own checkpoints are pickles of shards. The platform's checkpoints contain whole tensors,
keyed by weight name.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aiplatform.protocol.deepspeed import AUTO, DeepspeedConfig
from aiplatform.runtime.training.weights import ShardedWeights, stored_name, trained_parameters

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Names of the tensors that AdamW keeps for each weight."""


class Zero(ShardedWeights):
    """The trained weights under ZeRO, at any stage; only stage 3 shards the weights themselves.

    ZeRO's optimizer keeps the trained weights in fp32; those in the model may be bf16 copies.
    """

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer)
        self.needs_equal_steps = trainer.accelerator.state.deepspeed_plugin.zero_stage == 3

    def adapter(self) -> dict[str, Any]:
        """Return the trained weights in fp32; see :class:`ReplicatedWeights`."""
        from deepspeed.utils import safe_get_full_fp32_param

        return {
            name: _reshape(safe_get_full_fp32_param(parameter), parameter)
            for name, parameter in trained_parameters(self.trainer.model)
        }

    def set_adapter(self, weights: Mapping[str, Any]) -> None:
        """Load an adapter's weights; see :class:`ReplicatedWeights`."""
        import deepspeed
        import torch
        from deepspeed.utils import safe_set_full_fp32_param

        for name, parameter in trained_parameters(self.trainer.model):
            stored = weights.get(stored_name(name))
            if stored is None or stored.shape != _shape(parameter):
                raise ValueError(f"the checkpoint is of another model: {name}")
            value = stored.float().to(parameter.device)
            safe_set_full_fp32_param(parameter, value)
            with torch.no_grad(), deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
                parameter.copy_(value)

    def optimizer_state(self) -> dict[str, Any]:
        """Return the optimizer's state by weight name; see :class:`ReplicatedWeights`."""
        from deepspeed.utils import safe_get_full_optimizer_state

        torch_optimizer = self._zero_optimizer().optimizer
        if not torch_optimizer.state:  # all steps so far were skipped, because gradients were NaN
            self._initialize_state(0)
        moments = {
            name: {
                key: _reshape(safe_get_full_optimizer_state(parameter, key), parameter)
                for key in MOMENTS
            }
            for name, parameter in trained_parameters(self.trainer.model)
        }
        return {
            "state": moments,
            "step": max(float(state["step"]) for state in torch_optimizer.state.values()),
            "lr": [group["lr"] for group in torch_optimizer.param_groups],
        }

    def set_optimizer_state(self, state: dict[str, Any]) -> None:
        """Load an optimizer state; see :class:`ReplicatedWeights`."""
        from deepspeed.utils import safe_set_full_optimizer_state

        self._initialize_state(state["step"])
        for name, parameter in trained_parameters(self.trainer.model):
            for key in MOMENTS:
                value = state["state"][name][key].to(parameter.device)
                safe_set_full_optimizer_state(parameter, value, key)
        for group, rate in zip(
            self._zero_optimizer().optimizer.param_groups, state["lr"], strict=True
        ):
            group["lr"] = rate

    def model(self, base: Path, precision: Any, adapter: Any) -> Any:
        """Return the trained model; see :class:`ShardedWeights`."""
        # Otherwise transformers would shard the next model that is loaded.
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
        return super().model(base, precision, adapter)

    def _initialize_state(self, step: float) -> None:
        """Create AdamW's state as its first step would, with the step number ``step``."""
        import torch
        from deepspeed.utils.mixed_precision_linkage import lazy_init_hp_params_optimizer_state

        zero = self._zero_optimizer()
        for flat, group, weights in _flat_tensors(zero):
            zero.optimizer.state[flat] = {
                "step": torch.tensor(
                    float(step), device=flat.device if group.get("fused") else "cpu"
                ),
                **{key: torch.zeros_like(flat) for key in MOMENTS},
            }
            if weights is not None:
                lazy_init_hp_params_optimizer_state(weights, flat, zero.optimizer.state)

    def _zero_optimizer(self) -> Any:
        """Return ZeRO's optimizer, which accelerate wraps and which in turn wraps torch's."""
        return self.trainer.deepspeed.optimizer


def _flat_tensors(zero: Any) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    """Yield the flat tensors of torch's optimizer, each of which contains all weights of a group.

    Each tensor comes with its group and, below stage 3, the weights to be linked to its state.
    """
    groups = zero.optimizer.param_groups
    if hasattr(zero, "fp32_partitioned_groups_flat"):  # stage 3: a group may have several tensors
        for flat, index in zip(
            zero.fp32_partitioned_groups_flat, zero.sub_group_to_group_id.values(), strict=True
        ):
            yield flat, groups[index], None
    else:
        yield from zip(zero.single_partition_of_fp32_groups, groups, zero.bit16_groups, strict=True)


def _shape(parameter: Any) -> Any:
    """Return the shape of a whole weight. A sharded parameter itself is empty."""
    return getattr(parameter, "ds_shape", parameter.shape)


def _reshape(value: Any, parameter: Any) -> Any:
    return value.detach().reshape(_shape(parameter)).cpu()


def trainer_options(config: DeepspeedConfig) -> dict[str, Any]:
    """Return the configuration as arguments for transformers' ``TrainingArguments``.

    Options that the configuration doesn't set have the same values as without DeepSpeed. The
    optimizer is always torch's AdamW, because DeepSpeed would compile its own optimizers when first
    used.
    """
    # transformers replaces "auto" with the numbers from the spec. But it would compute
    # train_batch_size before it knows the number of ranks, so this is left out here and computed by
    # DeepSpeed.
    elsewhere = {"bf16", "fp16", "optimizer", "scheduler", "train_batch_size"}
    given = config.model_dump(mode="json", exclude=elsewhere)
    given["train_micro_batch_size_per_gpu"] = given["gradient_accumulation_steps"] = AUTO
    given.setdefault("gradient_clipping", AUTO)
    given["bf16"] = {"enabled": AUTO}
    given["zero_allow_untested_optimizer"] = True
    given["zero_force_ds_cpu_optimizer"] = False
    given.setdefault("steps_per_print", 10**9)  # the platform reports the steps itself
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
    """Import DeepSpeed and keep it from compiling code that only CPU inference uses.

    Raises:
        ModuleNotFoundError: DeepSpeed is not installed.
    """
    import deepspeed
    from deepspeed.ops.op_builder import cpu as builders

    shared_memory = getattr(builders, "ShareMemCommBuilder", None)
    if shared_memory is not None:
        deepspeed.ops.__compatible_ops__[shared_memory.NAME] = False

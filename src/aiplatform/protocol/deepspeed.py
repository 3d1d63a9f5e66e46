"""DeepSpeed configs: the subset that training accepts.

Most published configs can be used unchanged, including ZeRO options and ``"auto"`` values. A value
for which the spec has its own field must agree with the spec. Options that write files, send data
or compile code are refused.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from aiplatform.protocol.strict import Strict

AUTO: Final = "auto"
Auto = Literal["auto"]
Count = Annotated[int, Field(ge=0, le=10**15)]
"""A whole number; configs often write it as a float, such as ``5e8``."""

Positive = Annotated[int, Field(ge=1, le=10**9)]
Amount = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]

_MONITOR = "the platform records the metrics itself. Leave it out"
_CHECKPOINTS = "the platform manages the checkpoints itself. Leave it out"
_COMPILES = "it needs kernels that are compiled on the worker. Leave it out"
_LORA = "LoRA trains no weights that it could change. Leave it out"

UNSUPPORTED = {
    "activation_checkpointing": "the platform decides when to recompute activations. Leave it out",
    "aio": "it is for offload to NVMe, which is not supported. Leave it out",
    "amp": "the spec has a field precision for it. Leave it out",
    "autotuning": "use a sweep to search parameters. Leave it out",
    "checkpoint": _CHECKPOINTS,
    "comet": _MONITOR,
    "comms_logger": _MONITOR,
    "compression_training": _LORA,
    "csv_monitor": _MONITOR,
    "data_efficiency": "the platform distributes the rows itself. Leave it out",
    "data_types": "the spec has a field precision for it. Leave it out",
    "elasticity": "the spec has fields processes and nodes for it. Leave it out",
    "flops_profiler": "it writes to files of the worker. Leave it out",
    "nebula": _CHECKPOINTS,
    "sparse_attention": _COMPILES,
    "tensor_parallel": "processes share the rows of a batch, not layers. Leave it out",
    "tensorboard": _MONITOR,
    "wandb": _MONITOR,
}
"""Common config fields that training refuses, with the reasons."""

UNSUPPORTED_ZERO_OPTIONS = {
    "elastic_checkpoint": _CHECKPOINTS,
    "zero_hpz_partition_size": _COMPILES,
    "zero_quantized_gradients": _COMPILES,
    "zero_quantized_nontrainable_weights": _COMPILES,
    "zero_quantized_weights": _COMPILES,
    "zenflow": _COMPILES,
}


class PartialConfig(Strict):
    """A part of a config; only the fields that were given are serialised."""

    @model_serializer(mode="wrap")
    def _serialize_given_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


def refuse_fields(config: Any, reasons: dict[str, str]) -> None:
    """Raise an error for the first field of ``config`` that ``reasons`` contains.

    Raises:
        ValueError: The config contains such a field; the error gives the reason.
    """
    for name in config if isinstance(config, dict) else ():
        if name in reasons:
            raise ValueError(f"{name} is not supported: {reasons[name]}")


class Offload(PartialConfig):
    """A place outside the GPUs where data is kept to save GPU memory."""

    device: Literal["none", "cpu"]
    pin_memory: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_nvme(cls, value: Any) -> Any:
        if isinstance(value, dict) and (value.get("device") == "nvme" or "nvme_path" in value):
            raise ValueError(
                "offload to NVMe is not supported: it would write to paths of the worker. "
                'Set "device": "cpu", and leave nvme_path out'
            )
        return value


class OffloadOptimizer(Offload):
    """Offloading of AdamW's state to CPU memory; AdamW then runs on the CPU."""

    buffer_count: Count | None = None
    fast_init: bool | None = None


class OffloadParam(Offload):
    """Offloading of weights to CPU memory until they are needed."""

    buffer_count: Count | None = None
    buffer_size: Count | None = None
    max_in_cpu: Count | None = None


class ZeroOptimization(PartialConfig):
    """ZeRO options, Rajbhandari et al. 2019 (arXiv:1910.02054).

    Stage 1 splits AdamW's state among the processes, stage 2 also splits the gradients, and stage 3
    also splits the weights.
    """

    stage: Literal[1, 2, 3]
    offload_optimizer: OffloadOptimizer | None = None
    offload_param: OffloadParam | None = Field(None, description="with stage 3 only")
    overlap_comm: bool | None = None
    contiguous_gradients: bool | None = None
    reduce_scatter: bool | None = None
    reduce_bucket_size: Count | Auto | None = None
    allgather_partitions: bool | None = None
    allgather_bucket_size: Count | None = None
    round_robin_gradients: bool | None = None
    ignore_unused_parameters: bool | None = None
    sub_group_size: Count | None = None
    stage3_prefetch_bucket_size: Count | Auto | None = None
    stage3_param_persistence_threshold: Count | Auto | None = None
    stage3_model_persistence_threshold: Count | None = None
    stage3_max_live_parameters: Count | None = None
    stage3_max_reuse_distance: Count | None = None
    stage3_module_granularity_threshold: Count | None = None
    stage3_use_all_reduce_for_fetch_params: bool | None = None
    stage3_gather_16bit_weights_on_model_save: bool | None = Field(
        None, description="weights are gathered when they are saved, whatever it says"
    )
    memory_efficient_linear: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, value: Any) -> Any:
        refuse_fields(value, UNSUPPORTED_ZERO_OPTIONS)
        return value

    @model_validator(mode="after")
    def _check_stage_of_offload(self) -> "ZeroOptimization":
        if self.stage < 3 and self.offload_param is not None and self.offload_param.device == "cpu":
            raise ValueError("offload_param needs stage 3; set stage, or leave offload_param out")
        return self


class Bf16(PartialConfig):
    """The use of bf16, which must agree with the spec's ``precision``."""

    enabled: bool | Auto = AUTO


class Fp16(PartialConfig):
    """The fp16 options, which must be disabled because training doesn't use fp16."""

    enabled: Literal[False] | Auto = AUTO
    auto_cast: bool | None = None
    loss_scale: Annotated[float, Field(ge=0, le=2**32)] | None = None
    initial_scale_power: Count | None = None
    loss_scale_window: Count | None = None
    hysteresis: Count | None = None
    min_loss_scale: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_fp16(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("enabled") is True:
            raise ValueError(
                'training in fp16 is not supported. Set "enabled": "auto", or leave fp16 out'
            )
        return value


class AdamWParams(PartialConfig):
    """AdamW's parameters; learning rate and weight decay must agree with the spec."""

    lr: Rate | Auto | None = None
    weight_decay: Amount | Auto | None = None
    betas: tuple[Amount, Amount] | Auto | None = None
    eps: Annotated[float, Field(gt=0, lt=1)] | Auto | None = None
    torch_adam: Literal[True] | None = None
    adam_w_mode: Literal[True] | None = None


class Optimizer(PartialConfig):
    """The optimizer, which is always AdamW; DeepSpeed also calls it ``Adam``."""

    type: Literal["AdamW", "Adam"]
    params: AdamWParams = Field(default_factory=AdamWParams)


class SchedulerParams(PartialConfig):
    """The parameters of a learning rate schedule, which must agree with the spec."""

    warmup_min_lr: Literal[0] | Auto | None = None
    warmup_max_lr: Rate | Auto | None = None
    warmup_num_steps: Auto | None = None
    total_num_steps: Auto | None = None
    warmup_type: Literal["linear"] | None = None


SCHEDULES = {"WarmupDecayLR": "linear", "WarmupCosineLR": "cosine"}
"""DeepSpeed's names for schedules, and the corresponding values of ``lr_scheduler`` in the spec."""


class Scheduler(PartialConfig):
    """The learning rate schedule, one of those that the spec's ``lr_scheduler`` offers."""

    type: Literal["WarmupDecayLR", "WarmupCosineLR"]
    params: SchedulerParams = Field(default_factory=SchedulerParams)

    @model_validator(mode="before")
    @classmethod
    def _check_schedule(cls, value: Any) -> Any:
        if isinstance(value, dict) and str(value.get("type")) not in SCHEDULES:
            raise ValueError(
                "the schedule is the spec's lr_scheduler, which has no "
                f"{str(value.get('type'))[:100]}. Leave scheduler out"
            )
        return value


class DeepspeedConfig(PartialConfig):
    """A DeepSpeed config: the subset that training accepts.

    Depending on the ZeRO stage, each process holds only a part of AdamW's state, the gradients and
    the weights. A value for which the spec has its own field must be `"auto"` or agree with it.
    """

    zero_optimization: ZeroOptimization
    train_batch_size: Positive | Auto | None = None
    train_micro_batch_size_per_gpu: Positive | Auto | None = None
    gradient_accumulation_steps: Positive | Auto | None = None
    gradient_clipping: Annotated[float, Field(ge=0, le=10**6)] | Auto | None = Field(
        None, description="of the norm of all gradients; by default 1, and 0 for no clipping"
    )
    bf16: Bf16 | None = None
    fp16: Fp16 | None = None
    optimizer: Optimizer | None = None
    scheduler: Scheduler | None = None
    zero_allow_untested_optimizer: Literal[True] | None = None
    zero_force_ds_cpu_optimizer: Literal[False] | None = None
    steps_per_print: Positive | None = None
    wall_clock_breakdown: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, value: Any) -> Any:
        refuse_fields(value, UNSUPPORTED)
        return value


class SpecValues(NamedTuple):
    """The values of the spec's own fields, which a config must not contradict."""

    batch_size: int
    gradient_accumulation: int
    processes: int
    learning_rate: float
    weight_decay: float
    lr_scheduler: str
    precision: str


def contradictions(config: DeepspeedConfig, spec: SpecValues) -> Iterator[str]:
    """Yield each contradiction between a config and the spec, with advice."""
    rows = spec.batch_size * spec.gradient_accumulation * spec.processes
    optimizer = config.optimizer.params if config.optimizer else AdamWParams()
    schedule = config.scheduler.params if config.scheduler else SchedulerParams()
    for name, value, expected, meaning in (
        (
            "train_micro_batch_size_per_gpu", config.train_micro_batch_size_per_gpu,
            spec.batch_size, "batch_size",
        ),
        (
            "gradient_accumulation_steps", config.gradient_accumulation_steps,
            spec.gradient_accumulation, "gradient_accumulation",
        ),
        (
            "train_batch_size", config.train_batch_size, rows,
            "batch_size times gradient_accumulation times all processes",
        ),
        ("optimizer.params.lr", optimizer.lr, spec.learning_rate, "learning_rate"),
        (
            "optimizer.params.weight_decay", optimizer.weight_decay, spec.weight_decay,
            "weight_decay",
        ),
        (
            "scheduler.params.warmup_max_lr", schedule.warmup_max_lr, spec.learning_rate,
            "learning_rate",
        ),
    ):  # fmt: skip
        if value is not None and value not in {AUTO, expected}:
            yield (
                f"accelerator.deepspeed.{name} is {value}, and the spec says {expected} "
                f'({meaning}). Set it to "auto", or change one of them'
            )
    if config.scheduler and SCHEDULES[config.scheduler.type] != spec.lr_scheduler:
        yield (
            f"accelerator.deepspeed.scheduler.type is {config.scheduler.type}, and lr_scheduler is "
            f"{spec.lr_scheduler}. Leave scheduler out, or set "
            f"lr_scheduler = {SCHEDULES[config.scheduler.type]}"
        )
    enabled = config.bf16.enabled if config.bf16 else AUTO
    if enabled != AUTO and spec.precision != (wanted := "bf16" if enabled else "fp32"):
        yield (
            f"accelerator.deepspeed.bf16.enabled is {str(enabled).lower()}, and precision is "
            f'{spec.precision}. Set it to "auto", or set precision = {wanted}'
        )

"""Options for distributing a training job's rows and weights over several processes."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aiplatform.protocol.deepspeed import DeepspeedConfig
from aiplatform.protocol.strict import Strict

LayerClass = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class FsdpOptions(Strict):
    """Options for fully sharded data parallelism: each process holds a share of the weights.

    This is torch's FSDP2, configured by transformers' ``fsdp_config`` of version 2.
    """

    strategy: Literal["full_shard", "shard_grad_op"] = Field(
        "full_shard",
        description="`shard_grad_op` keeps a layer's weights whole from forward to backward: "
        "faster, and takes more memory",
    )
    layers: list[LayerClass] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="classes whose modules are sharded one by one; by default the decoder layers "
        "that the model names itself",
        examples=[["LlamaDecoderLayer"]],
    )


class AcceleratorOptions(Strict):
    """Options for distributing rows over processes: transformers' ``accelerator_config``.

    With ``fsdp`` or ``deepspeed``, each process also holds only a part of the optimizer state and,
    depending on their settings, of the gradients and weights. Only one of the two can be used.
    """

    split_batches: bool = Field(False, description="share each batch instead of taking one each")
    dispatch_batches: bool | None = Field(None, description="let the first process read for all")
    even_batches: bool = Field(True, description="repeat rows so that all have as many batches")
    use_seedable_sampler: bool = True
    non_blocking: bool = False
    fsdp: FsdpOptions | None = Field(
        None, description="shard weights, gradients and optimizer; needs two processes or more"
    )
    deepspeed: DeepspeedConfig | None = Field(
        None,
        description="a DeepSpeed config; its worker needs AI Platform's extra `deepspeed`",
        examples=[{"zero_optimization": {"stage": 2}, "gradient_clipping": "auto"}],
    )

    @model_validator(mode="after")
    def _refuse_both_ways_to_shard(self) -> "AcceleratorOptions":
        if self.fsdp is not None and self.deepspeed is not None:
            raise ValueError("accelerator has both fsdp and deepspeed; leave one of them out")
        return self

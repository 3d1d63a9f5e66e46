"""Bringing models onto the device: precision, base weights, adapters."""

import inspect
from pathlib import Path
from typing import Any

from aiplatform.runtime.artifacts import ADAPTER, WEIGHTS
from aiplatform.runtime.channel import JobError


def device() -> Any:
    """The device that the job computes on: the GPU where there is one."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_precision(wanted: str) -> Any:
    """The torch dtype to compute in.

    "auto" is bfloat16 where the hardware multiplies it natively, elsewhere float32: emulated
    bfloat16 is slower than float32, not faster.
    """
    import torch

    match wanted:
        case "fp32":
            return torch.float32
        case "bf16":
            return torch.bfloat16
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if torch.backends.mps.is_available():
        return torch.float32
    return torch.bfloat16 if _cpu_multiplies_bf16() else torch.float32


def _cpu_multiplies_bf16() -> bool:
    import torch

    # Not part of torch's public interface, and named differently over its versions.
    return any(
        check()
        for name in (
            "_is_avx512_bf16_supported",
            "_is_amx_tile_supported",
            "_is_arm_bf16_supported",
        )
        if (check := getattr(torch.cpu, name, None)) is not None
    )


def precision_name(dtype: Any) -> str:
    """How a dtype is written in specs and cards."""
    return {"torch.float32": "fp32", "torch.bfloat16": "bf16"}.get(str(dtype), str(dtype))


def context_length(model: Path) -> int:
    """How many tokens a model was made for; very many if its configuration sets no limit."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(model / WEIGHTS), trust_remote_code=False)
    return int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 1 << 30)


def load_weights(model: Path, dtype: Any) -> Any:
    """The causal language model in a model directory's ``weights/``, on the CPU."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    weights = model / WEIGHTS
    if not (weights / "config.json").is_file():
        raise JobError(f"The model has no {WEIGHTS}/config.json.")
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(weights),
            dtype=dtype,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
        )
    except SafetensorError as error:
        raise JobError(f"The model's weights are damaged: {error}.") from error


def load_adapter(base: Any, model: Path) -> Any:
    """``base`` with the LoRA adapter of a tuned model on it, which can be switched off."""
    from peft import PeftModel

    adapter = model / ADAPTER
    if not (adapter / "adapter_model.safetensors").is_file():
        raise JobError(f"The tuned model has no {ADAPTER}/adapter_model.safetensors.")
    return PeftModel.from_pretrained(base, str(adapter), is_trainable=False)


def is_tuned(model: Path) -> bool:
    """Whether a model directory holds an adapter, which makes it a tuned model."""
    return (model / ADAPTER / "adapter_config.json").is_file()


def selects_logits(model: Any) -> bool:
    """Whether a model, below its adapter, computes the logits of chosen positions only."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(inner.forward).parameters

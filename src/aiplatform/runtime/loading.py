"""Loading of models: device, precision, base weights and adapters."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiplatform.runtime.artifacts import ADAPTER, WEIGHTS
from aiplatform.runtime.channel import JobError


def device() -> Any:
    """Return the torch device for the job: a GPU if there is one, otherwise the CPU."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_precision(wanted: str) -> Any:
    """Return the torch dtype to compute in.

    "auto" selects bfloat16 if the hardware supports it natively. Otherwise it selects float32,
    because emulated bfloat16 is slower.
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

    # These functions are not public in torch, and their names differ between its versions.
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
    """Return the name used for a dtype in specs and cards, such as "bf16"."""
    return {"torch.float32": "fp32", "torch.bfloat16": "bf16"}.get(str(dtype), str(dtype))


OFFSET_POSITIONS = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta"})
"""Types of models whose first token position is the padding token's id plus one."""


def context_length(model: Path) -> int:
    """Return a model's maximum number of tokens, or 2**30 if its configuration sets no limit."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(model / WEIGHTS), trust_remote_code=False)
    config = config.get_text_config()
    positions = int(getattr(config, "max_position_embeddings", 0) or 1 << 30)
    if config.model_type in OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    return positions


def load_weights(model: Path, dtype: Any) -> Any:
    """Load the language model from a model directory onto the CPU.

    Raises:
        JobError: The weights are missing or damaged.
    """
    from transformers import AutoModelForCausalLM

    return _load(AutoModelForCausalLM, model, dtype)


def load_encoder(model: Path, dtype: Any) -> Any:
    """Load the encoder from a model directory, without a head, onto the CPU.

    Raises:
        JobError: The weights are missing or damaged.
    """
    from transformers import AutoModel

    return _load(AutoModel, model, dtype)


def _load(loader: Any, model: Path, dtype: Any) -> Any:
    from safetensors import SafetensorError

    weights = model / WEIGHTS
    if not (weights / "config.json").is_file():
        raise JobError(f"The model has no {WEIGHTS}/config.json.")
    try:
        return loader.from_pretrained(
            str(weights),
            dtype=dtype,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
        )
    except SafetensorError as error:
        raise JobError(f"The model's weights are damaged: {error}.") from error


def load_scorer(
    model: Path, dtype: Any, *, pad: int, labels: Sequence[str] = ("score",), several: bool = False
) -> Any:
    """Load a model with a head that gives one score per label onto the CPU.

    A language model gets a new head with random weights.

    Args:
        model: The model's directory.
        dtype: The torch dtype of the weights.
        pad: The id of the padding token, which tells the model where each text ends.
        labels: The labels of the scores.
        several: True if a text may have several of the labels.

    Raises:
        JobError: The weights are missing or damaged, or this architecture has no such head.
    """
    return load_classifier(model, dtype, pad=pad, labels=labels, several=several)[0]


def load_classifier(
    model: Path, dtype: Any, *, pad: int, labels: Sequence[str], several: bool = False
) -> tuple[Any, list[str]]:
    """Load a model with a head as :func:`load_scorer` does.

    Return the model, and the names of the modules whose weights are random because the files lack
    them.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    weights = model / WEIGHTS
    if not (weights / "config.json").is_file():
        raise JobError(f"The model has no {WEIGHTS}/config.json.")
    try:
        loaded, info = AutoModelForSequenceClassification.from_pretrained(
            str(weights),
            num_labels=len(labels),
            **_names_of(labels, several=several),
            dtype=dtype,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            # A classifier from another source has a head for other labels.
            ignore_mismatched_sizes=True,
        )
    except SafetensorError as error:
        raise JobError(f"The model's weights are damaged: {error}.") from error
    except ValueError as error:
        if "Unrecognized configuration class" in str(error):
            raise JobError(
                "A model of this architecture can't get a head for scores. Choose another base "
                "model."
            ) from error
        raise
    loaded.config.get_text_config().pad_token_id = pad
    loaded.config.pad_token_id = pad
    lacking = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    return loaded, sorted({key.rpartition(".")[0] for key in lacking})


def _names_of(labels: Sequence[str], *, several: bool) -> dict[str, Any]:
    """Return the part of a model's configuration that names the labels of a classifier."""
    if len(labels) == 1:
        return {}
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": "multi_label_classification" if several else "single_label_classification",
    }


def load_adapter(base: Any, model: Path) -> Any:
    """Return ``base`` with a tuned model's LoRA adapter, which callers can disable.

    Raises:
        JobError: The tuned model has no adapter.
    """
    from peft import PeftModel

    adapter = model / ADAPTER
    if not (adapter / "adapter_model.safetensors").is_file():
        raise JobError(f"The tuned model has no {ADAPTER}/adapter_model.safetensors.")
    return PeftModel.from_pretrained(base, str(adapter), is_trainable=False)


def is_tuned(model: Path) -> bool:
    """Return True if a model directory contains an adapter and therefore is a tuned model."""
    return (model / ADAPTER / "adapter_config.json").is_file()


def selects_logits(model: Any) -> bool:
    """Return True if the model, below any adapter, can compute logits for selected positions."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(inner.forward).parameters

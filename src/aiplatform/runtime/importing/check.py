"""Checks that a directory contains a language model or an encoder that the platform can load.

The weights themselves are not loaded.
"""

import json
from math import prod
from pathlib import Path
from typing import Any

from aiplatform.protocol.enums import ModelKind
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.importing.shapes import check_bounds, check_shapes

ENCODERS = {
    "albert": "Albert",
    "bert": "Bert",
    "camembert": "Camembert",
    "deberta": "Deberta",
    "deberta-v2": "DebertaV2",
    "distilbert": "DistilBert",
    "electra": "Electra",
    "modernbert": "ModernBert",
    "mpnet": "MPNet",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
}
"""The types of encoders that can be imported, with the prefixes of their class names."""

ENCODER_HEADS = ("Model", "ForMaskedLM", "ForPreTraining", "ForSequenceClassification")
"""Suffixes of encoder class names; training replaces the head."""

ENCODER_EMBEDDINGS = ("word_embeddings.weight", "tok_embeddings.weight")

DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}


def check_model(weights: Path) -> dict[str, Any]:
    """Return the kind, architecture, size and dtype of the model in a Hugging Face directory.

    Raises:
        JobError: The model is neither a causal language model nor an encoder, is incomplete or
            quantized, or needs custom code.
    """
    kind, architecture, config = _architecture(weights)
    tensors = read_tensor_headers(weights)
    _check_tokenizer(weights, config.vocab_size)
    if kind is ModelKind.ENCODER and not any(name.endswith(ENCODER_EMBEDDINGS) for name in tensors):
        raise JobError(
            f"config.json describes a {architecture}, but the files hold no word embeddings of one."
        )
    by_dtype: dict[str, int] = {}
    for dtype, shape in tensors.values():
        by_dtype[dtype] = by_dtype.get(dtype, 0) + prod(shape)
    main = max(by_dtype, key=lambda dtype: by_dtype[dtype])
    if main not in DTYPES:
        raise JobError(f"The weights are quantized ({main}); import them unquantized or as a GGUF.")
    check_shapes(config, {name: shape for name, (_, shape) in tensors.items()})
    return {
        "framework": "transformers",
        "kind": kind.value,
        "architecture": architecture,
        "parameters": sum(by_dtype.values()),
        "dtype": DTYPES[main],
    }


def _architecture(weights: Path) -> tuple[ModelKind, str, Any]:
    """Return the model's kind and class, and the configuration of the part that reads text."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        raw = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise JobError(f"config.json is not JSON: {error}.") from error
    if not isinstance(raw, dict):
        raise JobError("config.json is not JSON that describes a model.")
    model_type = raw.get("model_type")
    if "quantization_config" in raw:
        method = raw["quantization_config"].get("quant_method", "an unknown method")
        raise JobError(
            f"The weights are quantized ({method}); import the unquantized model, or a GGUF."
        )
    kind, architecture = _kind(raw)
    if raw.pop("auto_map", None) is not None:
        # transformers supports this type itself, so the reference to the model's own code is
        # removed.
        (weights / "config.json").write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
    check_bounds(raw)
    try:
        config = AutoConfig.from_pretrained(weights, trust_remote_code=False)
    except (OSError, TypeError, ValueError, StrictDataclassError) as error:
        raise JobError(f"config.json does not describe a {model_type} model: {error}") from error
    return kind, architecture, config.get_text_config()


def _kind(raw: dict[str, Any]) -> tuple[ModelKind, str]:
    """Return the kind and the class of the model that config.json describes.

    Raises:
        JobError: The model is neither a language model that generates text nor an encoder.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    model_type = raw.get("model_type")
    generator = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
    encoder = ENCODERS.get(str(model_type))
    if generator is None and encoder is None:
        if "auto_map" in raw:
            raise JobError(
                f"Models of type {model_type!r} need code that comes with them, "
                "and code from outside is never run."
            )
        raise JobError(
            f"A model of type {model_type!r} is neither a language model that generates text nor "
            f"an encoder of a known type ({', '.join(ENCODERS)})."
        )
    usual = generator if encoder is None else f"{encoder}Model"
    architecture = str((raw.get("architectures") or [usual])[0])
    # Encoders and decoders may have the same type: BertModel makes embeddings, while
    # BertLMHeadModel generates text.
    if generator is not None and (
        architecture == generator or architecture.endswith(("ForCausalLM", "LMHeadModel"))
    ):
        return ModelKind.LANGUAGE_MODEL, architecture
    if encoder is not None and architecture in {f"{encoder}{head}" for head in ENCODER_HEADS}:
        return ModelKind.ENCODER, architecture
    raise JobError(
        f"A {architecture} is neither a language model that generates text nor an encoder."
    )


def read_tensor_headers(weights: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the dtype and shape of each tensor, read from the files' headers.

    Raises:
        JobError: A file is damaged, incomplete or missing.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for file in sorted(weights.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  (not a mapping: it has only keys())
                    part = tensors.get_slice(name)
                    found[name] = (part.get_dtype(), tuple(part.get_shape()))
        except SafetensorError as error:
            raise JobError(f"{file.name} is damaged or incomplete: {error}.") from error
    index = weights / "model.safetensors.index.json"
    if index.is_file():
        promised = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        missing = sorted({promised[name] for name in promised.keys() - found.keys()})
        if missing:
            raise JobError(f"Parts of the model are missing: {', '.join(missing[:5])}.")
    if not found:
        raise JobError("The safetensors files hold no tensors.")
    return found


def _check_tokenizer(weights: Path, vocabulary: int) -> None:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(weights, trust_remote_code=False)
    except (OSError, TypeError, ValueError) as error:
        raise JobError(f"The model's tokenizer can't be loaded: {error}") from error
    if len(tokenizer) == 0:
        raise JobError("The model's tokenizer has no vocabulary.")
    if len(tokenizer) > vocabulary:
        raise JobError(
            f"The tokenizer has {len(tokenizer)} tokens and the model knows {vocabulary}: "
            "they are not of one model."
        )

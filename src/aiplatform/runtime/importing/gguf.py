"""From a GGUF file to a Hugging Face directory in safetensors."""

from pathlib import Path
from typing import Any

from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.importing.gguf_layout import BadLayout, check_layout


def convert(file: Path, weights: Path, report: Reporter) -> dict[str, Any]:
    """Unpack ``file`` into ``weights`` and tell its quantization and licence.

    The weights become bfloat16: half of float32's size, with more significant bits than the
    quantized formats carry. Only an F32 file stays float32.
    """
    header = read_header(file)
    if header["architecture"] is None:
        raise JobError(f"{file.name} names no architecture; it may be a part of a split GGUF.")

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = torch.float32 if header["quantization"] == "F32" else torch.bfloat16
    options: dict[str, Any] = {}
    try:
        # Newer versions keep the blocks packed where they have kernels for them.
        from transformers import GgufConfig

        options["quantization_config"] = GgufConfig(dequantize=True)
    except ImportError:
        pass
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        report.progress(0.7)
        model = AutoModelForCausalLM.from_pretrained(**where, dtype=dtype, **options)
    except (KeyError, NotImplementedError, ValueError) as error:
        raise JobError(f"{file.name} can't be converted: {error}") from error
    report.progress(0.85)
    forget_quantization(model)
    if (context := model.config.max_position_embeddings) and context > 0:
        tokenizer.model_max_length = context
    model.save_pretrained(weights)
    tokenizer.save_pretrained(weights)
    facts: dict[str, Any] = {"quantization": header["quantization"]}
    if header["license"]:
        facts["license"] = header["license"]
    return facts


def forget_quantization(model: Any) -> None:
    """The weights are dense now, but the model still says quantized, and would be saved as such."""
    model.hf_quantizer = None
    model.is_quantized = False
    model.quantization_method = None
    model.config._is_quantized = False  # noqa: SLF001
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # The file's own idea of a name, which loading would take for a repository.
    for name in ("_model_name_or_path", "_name_or_path"):
        if name in vars(model.config):
            delattr(model.config, name)


def read_header(file: Path) -> dict[str, str | None]:
    """Architecture, licence and the quantization that most of the weights have."""
    from gguf import GGUFReader

    try:
        check_layout(file)
    except BadLayout as error:
        raise JobError(f"{file.name} is not a complete GGUF file: {error}.") from error
    try:
        reader = GGUFReader(file)
    except (ValueError, OSError, LookupError, OverflowError) as error:
        raise JobError(f"{file.name} is not a complete GGUF file: {error}.") from error
    sizes: dict[str, int] = {}
    for tensor in reader.tensors:
        kind = tensor.tensor_type.name
        sizes[kind] = sizes.get(kind, 0) + int(tensor.n_elements)
    if not sizes:
        raise JobError(f"{file.name} holds no weights.")

    def text(key: str) -> str | None:
        value = reader.get_field(key)
        try:
            return None if value is None else str(value.contents())
        except ValueError as error:
            raise JobError(
                f"{file.name} is not a complete GGUF file: {key} is no text in UTF-8."
            ) from error

    return {
        "architecture": text("general.architecture"),
        "license": text("general.license"),
        "quantization": max(sizes, key=lambda kind: sizes[kind]),
    }

"""Conversion of a GGUF file to a Hugging Face directory with safetensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.importing.gguf_layout import BadLayout, check_layout


def convert(file: Path, weights: Path, report: Reporter) -> dict[str, Any]:
    """Convert ``file`` into the directory ``weights``; return its quantization and licence.

    The weights become bfloat16, which is half the size of float32 and has more significant bits
    than the quantized formats. Only F32 files stay float32.

    Raises:
        JobError: The file is damaged or can't be converted.
    """
    with parsed_once():
        return _convert(file, weights, report)


def _convert(file: Path, weights: Path, report: Reporter) -> dict[str, Any]:
    header = read_header(file)
    if header["architecture"] is None:
        raise JobError(f"{file.name} names no architecture; it may be a part of a split GGUF.")

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = torch.float32 if header["quantization"] == "F32" else torch.bfloat16
    options: dict[str, Any] = {}
    try:
        # Newer versions of transformers keep weights quantized if they have suitable kernels.
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


@contextmanager
def parsed_once() -> Iterator[None]:
    """Cache parsed GGUF files, because transformers would parse each file three times.

    transformers would build the map of tensor names once per module of the model, too. Both results
    depend only on the file. Caching them halves the time of an import, whatever the model's size.
    """
    import gguf

    originals = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, original in originals.items():
        setattr(gguf, name, cache(original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(gguf, name, original)


def forget_quantization(model: Any) -> None:
    """Remove all traces of quantization, so that the dense weights are not saved as quantized."""
    model.hf_quantizer = None
    model.is_quantized = False
    model.quantization_method = None
    model.config._is_quantized = False  # noqa: SLF001
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # Remove the name of the file, which would be mistaken for a repository name.
    for name in ("_model_name_or_path", "_name_or_path"):
        if name in vars(model.config):
            delattr(model.config, name)


def read_header(file: Path) -> dict[str, str | None]:
    """Return the architecture, the licence, and the quantization of most weights.

    Raises:
        JobError: The file is not a complete GGUF file.
    """
    from gguf import GGUFReader

    try:
        check_layout(file)
    except BadLayout as error:
        raise JobError(f"{file.name} is not a complete GGUF file: {error}.") from error
    try:
        reader = GGUFReader(str(file))
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
                f"{file.name} is not a complete GGUF file: {key} is not UTF-8 text."
            ) from error

    return {
        "architecture": text("general.architecture"),
        "license": text("general.license"),
        "quantization": max(sizes, key=lambda kind: sizes[kind]),
    }

"""Conversion of a model directory to a GGUF file, as a separate program.

When the program exits, the memory that torch and transformers need is freed, while the model server
keeps running.
Each tensor is read, converted and written by itself, so that memory holds only the largest one.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiplatform.runtime.serving.gguf.architectures import (
    FAMILIES,
    Family,
    obstacle,
    read_config,
    rope_parameters,
)
from aiplatform.runtime.serving.gguf.samples import make_samples
from aiplatform.runtime.serving.gguf.vocabulary import UnknownTokenizer, write_vocabulary

MODEL_FILE, SAMPLES_FILE = "model.gguf", "samples.json"
REFUSED = 3
"""Exit code if the model can't be converted; the reason is the last line of the output."""


class Refused(Exception):
    """The model can't be converted; the text says why, as a part of a sentence."""


def convert(weights: Path, number_format: str, target: Path) -> None:
    """Write the GGUF file of a model and its samples into the directory ``target``.

    Args:
        weights: A Hugging Face directory.
        number_format: Format of the matrices: "q8_0", "f16", "bf16" or "f32". Matrices with rows
            that Q8_0 can't divide into blocks become f16; vectors are always f32.
        target: An existing, empty directory.

    Raises:
        Refused: The model can't be converted.
    """
    import gguf

    from aiplatform.runtime.chat import load_tokenizer

    if (why := obstacle(weights)) is not None:
        raise Refused(why)
    config = read_config(weights)
    family = FAMILIES[config["architectures"][0]]
    tensors = Tensors(weights, config, family, gguf.GGMLQuantizationType[number_format.upper()])
    tokenizer = load_tokenizer(weights)
    writer = gguf.GGUFWriter(target / MODEL_FILE, family.name)
    _write_parameters(writer, config)
    writer.add_file_type(gguf.LlamaFileType[_file_type(number_format)])
    try:
        write_vocabulary(writer, weights, tokenizer, tensors.vocabulary_size)
    except UnknownTokenizer as error:
        raise Refused(str(error)) from error
    tensors.describe(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for data in tensors.read():
        writer.write_tensor_data(data)
    writer.close()
    samples = make_samples(tokenizer)
    (target / SAMPLES_FILE).write_text(samples.model_dump_json(), encoding="utf-8")


def _file_type(number_format: str) -> str:
    return "ALL_F32" if number_format == "f32" else f"MOSTLY_{number_format.upper()}"


def _write_parameters(writer: Any, config: dict[str, Any]) -> None:
    import gguf

    heads = config["num_attention_heads"]
    size = _head_size(config)
    rope = rope_parameters(config)
    writer.add_name(config["architectures"][0])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(_context_length(config))
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in {"linear", "yarn"}:
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        original = rope.get("original_max_position_embeddings")
        writer.add_rope_scaling_orig_ctx_len(original or config["max_position_embeddings"])


def _context_length(config: dict[str, Any]) -> int:
    """Return the longest context that all layers can use in full.

    Converted models have no sliding windows, so a window in the original limits the context.
    """
    positions = int(config["max_position_embeddings"])
    window = config.get("sliding_window")
    layers = config.get("layer_types") or []
    slides = "sliding_attention" in layers if layers else config.get("use_sliding_window", True)
    return min(positions, int(window)) if window and slides else positions


def _head_size(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


class Tensors:
    """The tensors of a model in the order of the GGUF file."""

    def __init__(
        self, weights: Path, config: dict[str, Any], family: Family, number_format: Any
    ) -> None:
        import gguf
        from safetensors import safe_open

        self.config = config
        self.family = family
        self.number_format = number_format
        layers = config["num_hidden_layers"]
        architecture = next(
            key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == family.name
        )
        names = gguf.get_tensor_name_map(architecture, layers)
        self.sources: dict[str, tuple[Path, str, tuple[int, ...]]] = {}
        self.vocabulary_size = int(config["vocab_size"])
        for file in sorted(weights.glob("*.safetensors")):
            with safe_open(str(file), framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118  (it is not a mapping)
                    if _is_left_out(name, config):
                        continue
                    new = names.get_name(name, try_suffixes=(".weight", ".bias"))
                    if new is None:
                        raise Refused(f"its weights have {name}, which llama.cpp does not know")
                    shape = tuple(opened.get_slice(name).get_shape())
                    self.sources[new] = (file, name, shape)
                    if new == "token_embd.weight":
                        self.vocabulary_size = shape[0]

    def describe(self, writer: Any) -> None:
        """Add the names, shapes and formats of all tensors to the file's header."""
        import gguf
        import numpy as np

        if (factors := rope_factors(self.config)) is not None:
            writer.add_tensor_info(
                "rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes
            )
        for new, (_, _, shape) in self.sources.items():
            kind = self._format_of(shape)
            block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
            count = math.prod(shape) // block * block_bytes
            writer.add_tensor_info(new, shape, np.dtype(np.float32), count, raw_dtype=kind)

    def read(self) -> Iterator[Any]:
        """Yield the data of all tensors in the order of :meth:`describe`."""
        import gguf
        import torch
        from safetensors import safe_open

        if (factors := rope_factors(self.config)) is not None:
            yield factors
        for file, name, shape in self.sources.values():
            with safe_open(str(file), framework="pt") as opened:
                tensor = opened.get_tensor(name)
            data = self._reordered(name, tensor).to(torch.float32).contiguous().numpy()
            yield gguf.quants.quantize(data, self._format_of(shape))

    def _format_of(self, shape: tuple[int, ...]) -> Any:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        if len(shape) < 2:
            return GGMLQuantizationType.F32
        if shape[-1] % GGML_QUANT_SIZES[self.number_format][0]:
            return GGMLQuantizationType.F16
        return self.number_format

    def _reordered(self, name: str, tensor: Any) -> Any:
        """Return queries and keys with rows in llama.cpp's order, and other tensors unchanged."""
        heads = self.config["num_attention_heads"]
        if ".k_proj." in name:
            heads = self.config.get("num_key_value_heads") or heads
        elif ".q_proj." not in name:
            return tensor
        if not self.family.interleaved:
            return tensor
        shape = tensor.shape
        pairs = tensor.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
        return pairs.transpose(1, 2).reshape(shape)


def rope_factors(config: dict[str, Any]) -> Any:
    """Return the divisors of the rotary frequencies of Llama 3.1 and later, or None."""
    import numpy as np

    rope = rope_parameters(config)
    if rope["rope_type"] != "llama3":
        return None
    size = _head_size(config)
    frequencies = rope["rope_theta"] ** (-np.arange(0, size, 2, dtype=np.float64) / size)
    lengths = 2 * np.pi / frequencies
    original = rope.get("original_max_position_embeddings", 8192)
    low, high = rope.get("low_freq_factor", 1.0), rope.get("high_freq_factor", 4.0)
    smooth = np.clip((original / lengths - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / rope["factor"] + smooth)).astype(np.float32)


def _is_left_out(name: str, config: dict[str, Any]) -> bool:
    """Return True for tensors that llama.cpp computes itself or shares with other tensors."""
    if name.endswith(".rotary_emb.inv_freq"):
        return True
    return name == "lm_head.weight" and bool(config.get("tie_word_embeddings"))


def main() -> int:
    """Convert the model that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("format")
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    try:
        convert(given.weights, given.format, given.target)
    except Refused as error:
        sys.stdout.write(f"{error}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Comparison of a model's config.json with its tensors' shapes, without creating the model.

Only fields that have the same meaning in all architectures are compared with tensors. Other sizes
only have to be within limits.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aiplatform.runtime.channel import JobError

WIDTH = 1 << 20
INNER_WIDTH = 1 << 24
POSITIONS = 1 << 30
EXPERTS = 1 << 14
LAYERS = 4096

BOUNDS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd"), (1, WIDTH)),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), (1, LAYERS)),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads"), (1, WIDTH)),
    "vocab_size": (1, INNER_WIDTH),
    **dict.fromkeys(("num_key_value_heads", "head_dim"), (0, WIDTH)),
    **dict.fromkeys(("intermediate_size", "moe_intermediate_size"), (0, INNER_WIDTH)),
    **dict.fromkeys(("n_inner", "ffn_dim"), (0, INNER_WIDTH)),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), (0, POSITIONS)),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), (0, EXPERTS)),
}
"""Smallest and largest allowed value of each field, well beyond those of published models."""

EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
)
POSITION_EMBEDDINGS = "position_embeddings.weight"
INNER = (".mlp.gate_proj.weight", ".mlp.up_proj.weight", ".intermediate.dense.weight")
LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks)\.(\d+)\.")
OTHER_MODALITIES = re.compile("vision|visual|audio", re.IGNORECASE)

REMEDY = "Correct config.json, or take it from the model's source again."

Shapes = Mapping[str, tuple[int, ...]]


def check_bounds(raw: Mapping[str, Any]) -> None:
    """Raise an error unless the sizes in config.json are within limits.

    Call this before transformers reads the configuration, because transformers creates lists whose
    lengths are given by some of these sizes.

    Raises:
        JobError: A value is outside its limits; the text names the field, the value and the limits.
    """
    for path, value in _numbers(raw):
        least, greatest = BOUNDS[path.rpartition(".")[2]]
        if not least <= value <= greatest:
            raise JobError(
                f"config.json says {path} = {value}, but it must be between {least} and "
                f"{greatest}. {REMEDY}"
            )


def check_shapes(config: Any, shapes: Shapes) -> None:
    """Raise an error unless the model's configuration matches its tensors.

    Args:
        config: Configuration of the part that reads text, as transformers reads it.
        shapes: Shape of each tensor in the files.

    Raises:
        JobError: A field doesn't match; the text names the field, its value and the tensor.
    """
    texts = {name: shape for name, shape in shapes.items() if not OTHER_MODALITIES.search(name)}
    for name, shape in texts.items():
        if len(shape) == 2 and f".{name}".endswith(tuple(f".{end}" for end in EMBEDDINGS)):
            _require(config, "vocab_size", {shape[0]}, name, shape)
            # OPT and encoders such as ALBERT and ELECTRA may have narrower embeddings.
            narrow = (
                getattr(config, key, None) for key in ("word_embed_proj_dim", "embedding_size")
            )
            if shape[1] not in narrow:
                _require(config, "hidden_size", {shape[1]}, name, shape)
        if len(shape) == 2 and name.endswith(POSITION_EMBEDDINGS):
            _require(config, "max_position_embeddings", {shape[0]}, name, shape)
    inner = {name: shape for name, shape in texts.items() if name.endswith(INNER)}
    if inner:
        name, shape = next(iter(inner.items()))
        _require(config, "intermediate_size", {rows[0] for rows in inner.values()}, name, shape)
    found = {int(match[1]) for match in map(LAYER.search, texts) if match is not None}
    layers = getattr(config, "num_hidden_layers", None)
    # Fewer layers than in the files are allowed, because some models have layers for other uses.
    if found and isinstance(layers, int) and layers > max(found) + 1:
        raise JobError(
            f"config.json says {_spelled(config, 'num_hidden_layers')} = {layers}, but the files "
            f"hold {max(found) + 1} layers. {REMEDY}"
        )
    _check_heads(config, texts)


def _check_heads(config: Any, shapes: Shapes) -> None:
    """Raise an error if all attention heads together are wider than any tensor.

    Architectures arrange the heads differently, so no particular tensor can be compared.

    Raises:
        JobError: No tensor is wide enough.
    """
    heads, width = (getattr(config, key, None) for key in ("num_attention_heads", "head_dim"))
    widest = max((max(shape) for shape in shapes.values() if shape), default=0)
    if isinstance(heads, int) and heads * (width if isinstance(width, int) else 1) > widest:
        raise JobError(
            f"config.json says {_spelled(config, 'num_attention_heads')} = {heads}"
            + (f" and head_dim = {width}" if isinstance(width, int) else "")
            + f", but no tensor in the files is wider than {widest}. {REMEDY}"
        )


def _require(config: Any, field: str, allowed: set[int], name: str, shape: tuple[int, ...]) -> None:
    value = getattr(config, field, None)
    if isinstance(value, int) and value not in allowed:
        raise JobError(
            f"config.json says {_spelled(config, field)} = {value}, but {name} in the files has "
            f"the shape {' × '.join(map(str, shape))}. {REMEDY}"
        )


def _spelled(config: Any, field: str) -> str:
    """Return the name that a field has in this architecture's config.json."""
    return str(getattr(config, "attribute_map", {}).get(field, field))


def _numbers(raw: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, int | float]]:
    """Yield the path and value of each field that has limits, at any depth and inside lists."""
    for key, value in raw.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{path}{key}.")
        elif key in BOUNDS:
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, int | float) and not isinstance(number, bool):
                    yield f"{path}{key}", number

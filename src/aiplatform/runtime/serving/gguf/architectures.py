"""The model families that can be converted to GGUF. This module imports no large package."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models whose layers llama.cpp supports.

    ``name`` is llama.cpp's name for the architecture. ``interleaved`` is True if llama.cpp rotates
    neighbouring pairs of values in queries and keys, while transformers rotates value i with value
    i + size / 2. The conversion then reorders the rows of these weights.
    """

    name: str
    interleaved: bool


FAMILIES = {
    "LlamaForCausalLM": Family("llama", interleaved=True),
    "MistralForCausalLM": Family("llama", interleaved=True),
    "Qwen2ForCausalLM": Family("qwen2", interleaved=False),
    "Qwen3ForCausalLM": Family("qwen3", interleaved=False),
}
"""Families by the architecture in a model's ``config.json``."""

ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn"})
"""Position scaling methods that can be converted."""


def read_config(weights: Path) -> dict[str, Any]:
    """Return the model's ``config.json``, or an empty dictionary if it is missing or damaged."""
    try:
        found = json.loads((weights / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def rope_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the rotary positions, in the names of transformers 5."""
    found = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    found.setdefault("rope_theta", config.get("rope_theta") or 10000.0)
    found.setdefault("rope_type", found.get("type") or "default")
    return found


def obstacle(weights: Path) -> str | None:
    """Return why a model can't be converted to GGUF, or None if it can.

    The tokenizer is not checked here, because the conversion rejects unusual ones.
    """
    config = read_config(weights)
    architectures = config.get("architectures") or ["?"]
    name = str(architectures[0])
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        return f"its architecture {name} can't be converted to GGUF (possible are {known})"
    if config.get("quantization_config") is not None:
        return "its weights are quantized"
    if (activation := config.get("hidden_act", "silu")) != "silu":
        return f"it has the activation function {activation} instead of silu"
    if (rope := rope_parameters(config)["rope_type"]) not in ROPE_TYPES:
        return f"it scales positions by {rope}, which is not converted"
    return None

"""Properties of a model, read from its configuration and file headers without loading it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiplatform.protocol.trainings import LoraSpec
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.importing.check import read_tensor_headers

_VOCABULARY = re.compile(r"(embed|wte|wpe|lm_head|classifier|score|pooler|cls\.)")
"""Modules that ``all-linear`` leaves without an adapter: embeddings and heads."""


@dataclass(frozen=True)
class ModelFacts:
    """The sizes of a transformer model."""

    layers: int
    hidden: int
    inner: int
    """Width of the feed-forward layers."""
    vocabulary: int
    shapes: Mapping[str, tuple[int, ...]]
    """Shape of each stored weight by name; tied weights are stored once."""
    stored_bytes: int

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def adapted(self, lora: LoraSpec) -> list[tuple[int, int]]:
        """Return the numbers of outputs and inputs of each linear layer that gets an adapter."""
        wanted = lora.target_modules
        found = []
        for name, shape in self.shapes.items():
            module = name.removesuffix(".weight")
            if len(shape) != 2 or module == name:
                continue
            if wanted == "all-linear":
                fits = not _VOCABULARY.search(module)
            elif isinstance(wanted, str):
                fits = re.fullmatch(wanted, module) is not None
            else:
                fits = any(module == one or module.endswith(f".{one}") for one in wanted)
            if fits:
                found.append((shape[0], shape[1]))
        return found

    def adapter_parameters(self, lora: LoraSpec) -> int:
        """Return the number of weights of an adapter."""
        return sum(lora.rank * (outputs + inputs) for outputs, inputs in self.adapted(lora))


def read_model_facts(model: Path) -> ModelFacts:
    """Read the sizes of the model in a model directory."""
    from transformers import AutoConfig

    weights = model / WEIGHTS
    config = AutoConfig.from_pretrained(str(weights), trust_remote_code=False).get_text_config()
    headers = read_tensor_headers(weights)
    return ModelFacts(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        inner=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        vocabulary=config.vocab_size,
        shapes={name: shape for name, (_, shape) in headers.items()},
        stored_bytes=sum(file.stat().st_size for file in weights.glob("*.safetensors")),
    )

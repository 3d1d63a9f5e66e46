"""The formula for the peak memory of a training run, in MiB. All functions here are pure.

The peak is the sum of these parts:

- ``libraries``: memory that the process uses for everything but the model. It was measured on a
  CPU. On a GPU it is 0, because only torch's own memory counts there.
- ``weights``: the weights as they are loaded.
- ``trained_weights``: the gradient and Adam's two averages of each trained weight, in 32 bits. If
  the trained weights are those of an adapter, they are included as well.
- ``activations``: values that each layer stores for each token until the backward pass.
- ``logits``: scores over the vocabulary at the learned positions, and their gradients.

Loading the weights causes another peak, which is the higher one only if batches are small.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from aiplatform.protocol.trainings import LoraSpec
from aiplatform.runtime.estimates.batches import Batches
from aiplatform.runtime.estimates.model_facts import ModelFacts

MIB = 1 << 20

LIBRARIES = 570
"""Memory in MiB of a CPU process that has imported torch, transformers, peft and trl."""

HIDDEN_VECTORS = 9
"""Vectors of the hidden size that a layer stores for a token.

They are the inputs and outputs of two norms, and four vectors of the attention and its output.
"""

NORM_VECTORS = 2
"""Additional vectors if the norms are trained: their results before the weights."""

INNER_VECTORS = 4
"""Vectors of the feed-forward size that a layer stores for a token: gate, up and two products.

The last one is the input of the second linear layer. It is kept only if that layer is trained.
"""

DROPOUT_BYTES = 7
"""Bytes for each number in the input of an adapter with dropout: the result and the noise.

This is a measured value. It would be eight, but the input itself need not be kept.
"""

FULL_PRECISION = 4
TRAINED_BYTES = 12
"""Bytes for each trained weight besides the weight itself: gradient and two averages."""

MARGIN = 0.15
"""Relative margin on both sides of the estimate, for methods on which the formula was checked."""

WIDE_MARGIN = 0.4
"""Relative margin for all other methods."""


@dataclass(frozen=True)
class MemorySetting:
    """The training settings that determine the memory."""

    device: Literal["cpu", "gpu"]
    weight_bytes: int
    """Bytes of each loaded weight."""
    compute_bytes: int
    """Bytes of each number in activations."""
    lora: LoraSpec | None
    """The adapter; None if all weights are trained."""
    has_logits: bool
    """True if the model scores the whole vocabulary."""


def memory_parts(model: ModelFacts, setting: MemorySetting, batches: Batches) -> dict[str, float]:
    """Return the parts of the peak memory in MiB, for the batch that needs the most."""
    lora = setting.lora
    trained = model.parameters if lora is None else model.adapter_parameters(lora)
    parts = {
        "libraries": LIBRARIES if setting.device == "cpu" else 0,
        "weights": model.parameters * setting.weight_bytes / MIB,
        "trained_weights": trained * (TRAINED_BYTES + (FULL_PRECISION if lora else 0)) / MIB,
    }
    if setting.compute_bytes < setting.weight_bytes:
        # Autocast keeps a copy of all weights in the lower precision during a step.
        parts["weights"] += model.parameters * setting.compute_bytes / MIB
    activations = batches.tokens * (token_bytes(model, setting) / MIB)
    logits = logits_mb(model, setting, batches)
    largest = int(np.argmax(activations + logits))
    parts["activations"] = float(activations[largest])
    parts["logits"] = float(logits[largest])
    return parts


def peak_mb(model: ModelFacts, setting: MemorySetting, batches: Batches) -> float:
    """Return the peak memory in MiB, either while loading or in the largest batch."""
    training = sum(memory_parts(model, setting, batches).values())
    if setting.device == "gpu":
        return training
    loading = LIBRARIES + (model.parameters * setting.weight_bytes + model.stored_bytes) / MIB
    return max(training, loading)


def token_bytes(model: ModelFacts, setting: MemorySetting) -> float:
    """Return the bytes that all layers store per token for the backward pass."""
    per_layer = HIDDEN_VECTORS * model.hidden + INNER_VECTORS * model.inner
    size = setting.compute_bytes
    if setting.lora is None:
        return float(model.layers * (per_layer + NORM_VECTORS * model.hidden) * size)
    adapted = model.adapted(setting.lora)
    if all(width != model.inner for _, width in adapted):
        per_layer -= model.inner
    kept = float((model.layers * per_layer + setting.lora.rank * len(adapted)) * size)
    inputs = sum(width for _, width in adapted)
    if setting.lora.dropout:
        kept += inputs * DROPOUT_BYTES
    elif size < FULL_PRECISION:
        # Adapters compute in 32 bits, so they keep a converted input.
        kept += inputs * FULL_PRECISION
    return kept


def logits_mb(model: ModelFacts, setting: MemorySetting, batches: Batches) -> "np.ndarray":
    """Return the memory for each batch's logits over the vocabulary, in MiB."""
    if not setting.has_logits:
        return np.zeros(len(batches.tokens))
    scored = batches.positions * (2 * setting.compute_bytes)
    learned = batches.learned * (3 * FULL_PRECISION)
    return (scored + learned) * (model.vocabulary / MIB)

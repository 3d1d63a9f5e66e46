"""Continuous batching: rows that are decoded together, with their cache of keys and values.

Rows join and leave between two tokens. The cache is padded on the left to one length. Positions are
counted from a row's first token, and a mask hides the padding, so it doesn't change the answers.
"""

import inspect
from dataclasses import dataclass
from typing import Any

import torch

from aiplatform.runtime.serving.engines.base import FinishReason, Generation, Piece
from aiplatform.runtime.serving.engines.sampling import Text

ATTENTION = frozenset({"full_attention", "sliding_attention"})
"""Kinds of layers whose state is only keys and values by position.

Rows can join a running batch only if all layers of the model are of these kinds.
"""


@dataclass(slots=True, eq=False)
class Row:
    """One answer in the batch.

    ``length`` is the number of tokens in the cache, ``last`` the last token, and ``generated`` the
    number of generated tokens.
    """

    generation: Generation
    text: Text
    generator: Any
    length: int
    last: int = 0
    generated: int = 0

    def deliver(self, text: str, reason: FinishReason | None = None) -> None:
        """Send a piece of text to the request; an empty one only if it is the last."""
        if text or reason is not None:
            self.generation.deliver(Piece(text, self.generated, reason))


class Batch:
    """A batch of answers that one model generates, with its key-value cache.

    The cache is None if there are no rows.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.rows: list[Row] = []
        self.cache: Any = None
        self.can_join = has_attention_only(model)
        self._accepted = inspect.signature(model.forward).parameters
        # The first is the name in newer versions, which warn of the other names at every token.
        names = ("cache", "past_key_values", "cache_params")
        self._cache_argument = next(name for name in names if name in self._accepted)

    def new_cache(self) -> Any:
        """Return an empty cache for new prompts.

        For a model whose rows can join, it is created without the model's configuration, and so
        keeps all positions even in layers with a sliding window; the mask hides those outside the
        window. Caches that are cut to the window could not be joined.
        """
        from transformers.cache_utils import DynamicCache

        return DynamicCache() if self.can_join else DynamicCache(config=self.model.config)

    def compute(self, rows: list[Row], tokens: list[list[int]], cache: Any) -> Any:
        """Append ``tokens`` to the rows, and return the logits of each row's next token.

        Args:
            rows: The rows; their ``length`` is increased.
            tokens: New tokens of each row. Their numbers may differ only if the cache is empty;
                they are then padded on the left.
            cache: The cache of these rows.
        """
        width = max(len(some) for some in tokens)
        # All rows are as wide as the cache. Recurrent states don't know their length, but belong to
        # a single row.
        past = cache.get_seq_length() if self.can_join and cache.layers else rows[0].length
        ids = [[0] * (width - len(some)) + some for some in tokens]
        for row, some in zip(rows, tokens, strict=True):
            row.length += len(some)
        lengths = torch.tensor([row.length for row in rows], device=self.device)
        places = torch.arange(past + width, device=self.device)[None, :]
        position = places[:, past:] - (past + width - lengths[:, None])
        arguments: dict[str, Any] = {
            "input_ids": torch.tensor(ids, device=self.device),
            self._cache_argument: cache,
            "use_cache": True,
        }
        # A few old architectures have neither parameter, and don't need them.
        if "position_ids" in self._accepted:
            arguments["position_ids"] = position.clamp(min=0)
        if "logits_to_keep" in self._accepted:
            arguments["logits_to_keep"] = 1
        if self.can_join:
            arguments["attention_mask"] = (places >= past + width - lengths[:, None]).long()
        return self.model(**arguments).logits[:, -1]

    def join(self, rows: list[Row], cache: Any) -> None:
        """Add rows whose prompts are in ``cache``."""
        if not rows:
            return
        if self.cache is None:
            self.rows, self.cache = rows, cache
            return
        width = max(self.cache.get_seq_length(), cache.get_seq_length())
        for mine, new in zip(self.cache.layers, cache.layers, strict=True):
            mine.keys = torch.cat([_pad(mine.keys, width), _pad(new.keys, width)])
            mine.values = torch.cat([_pad(mine.values, width), _pad(new.values, width)])
        self.rows = self.rows + rows

    def leave(self, gone: set[int]) -> None:
        """Remove the rows at these indices, and the padding that is no longer needed."""
        if gone:
            kept = [place for place in range(len(self.rows)) if place not in gone]
            self.cache = select(self.cache, self.rows, kept)
            self.rows = [self.rows[place] for place in kept]

    def clear(self) -> None:
        """Remove all rows."""
        self.rows, self.cache = [], None


def select(cache: Any, rows: list[Row], kept: list[int]) -> Any:
    """Reduce a cache to the kept rows and to the width of the longest one; None without rows."""
    if not kept:
        return None
    if len(kept) == len(rows):
        return cache
    width = max(rows[place].length for place in kept)
    for layer in cache.layers:
        index = torch.tensor(kept, device=layer.keys.device)
        layer.keys = layer.keys.index_select(0, index)[..., -width:, :]
        layer.values = layer.values.index_select(0, index)[..., -width:, :]
    return cache


def has_attention_only(model: Any) -> bool:
    """Return True if the model's state is only keys and values; other states can't be padded."""
    if getattr(model, "_is_stateful", False):
        return False
    kinds = getattr(model.config.get_text_config(), "layer_types", None)
    return kinds is None or ATTENTION.issuperset(kinds)


def _pad(states: Any, width: int) -> Any:
    """Return states of shape (batch, heads, length, size), padded on the left to ``width``."""
    missing = width - states.shape[-2]
    return torch.nn.functional.pad(states, (0, 0, missing, 0)) if missing else states

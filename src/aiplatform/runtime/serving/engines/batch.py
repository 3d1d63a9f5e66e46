"""Rows decoded together: their keys and values, padded on the left to one length.

Rows come and go between two tokens. A row's own positions are counted from its first token, so the
padding before it changes nothing of what it says.
"""

from dataclasses import dataclass
from typing import Any

import torch

from aiplatform.runtime.serving.engines.base import Generation, Piece
from aiplatform.runtime.serving.engines.sampling import Text

BASE = "__base__"
ADAPTER = "default"
"""PEFT's names for a row without and with the adapter."""


@dataclass(slots=True, eq=False)
class Row:
    """One answer in the batch. ``length`` counts the tokens whose keys and values are cached."""

    generation: Generation
    text: Text
    generator: Any
    length: int
    last: int
    made: int = 0

    @property
    def adapter(self) -> str:
        """What PEFT calls this row's variant."""
        return ADAPTER if self.generation.adapted else BASE

    def deliver(self, text: str, reason: Any = None) -> None:
        """Hand a piece to whoever waits."""
        self.generation.deliver(Piece(text, self.made, reason))


class Batch:
    """The rows and their cache; ``cache`` is None while there are none."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.rows: list[Row] = []
        self.cache: Any = None

    def join(self, row: Row, cache: Any) -> None:
        """Add a row whose prompt has been computed into ``cache`` (a batch of one)."""
        if self.cache is None:
            self.rows, self.cache = [row], cache
            return
        width = max(self.cache.get_seq_length(), cache.get_seq_length())
        for mine, new in zip(self.cache.layers, cache.layers, strict=True):
            mine.keys = torch.cat([_pad(mine.keys, width), _pad(new.keys, width)])
            mine.values = torch.cat([_pad(mine.values, width), _pad(new.values, width)])
        self.rows.append(row)

    def leave(self, gone: set[int]) -> None:
        """Drop the rows at these places, and the padding that nobody needs any more."""
        if not gone:
            return
        kept = [place for place in range(len(self.rows)) if place not in gone]
        self.rows = [self.rows[place] for place in kept]
        if not kept:
            self.cache = None
            return
        if not can_join(self.cache):
            return
        index = torch.tensor(kept, device=self.device)
        width = max(row.length for row in self.rows)
        for layer in self.cache.layers:
            layer.keys = layer.keys.index_select(0, index)[..., -width:, :]
            layer.values = layer.values.index_select(0, index)[..., -width:, :]

    def inputs(self) -> dict[str, Any]:
        """The model's arguments for the next token of every row."""
        lengths = torch.tensor([row.length for row in self.rows], device=self.device)
        arguments: dict[str, Any] = {
            "input_ids": torch.tensor([[row.last] for row in self.rows], device=self.device),
            "position_ids": lengths[:, None],
            "past_key_values": self.cache,
            "use_cache": True,
        }
        if can_join(self.cache):
            width = self.cache.get_seq_length() + 1
            places = torch.arange(width, device=self.device)[None, :]
            arguments["attention_mask"] = (places >= width - 1 - lengths[:, None]).long()
        return arguments


def can_join(cache: Any) -> bool:
    """Whether rows may be put together: plain keys and values in every layer.

    Sliding windows and recurrent states are cut or folded by position, so models that have them
    answer one request at a time.
    """
    from transformers.cache_utils import DynamicLayer

    return all(type(layer) is DynamicLayer for layer in cache.layers)


def _pad(states: Any, width: int) -> Any:
    """States of shape (batch, heads, length, size), padded on the left to ``width``."""
    missing = width - states.shape[-2]
    return torch.nn.functional.pad(states, (0, 0, missing, 0)) if missing else states

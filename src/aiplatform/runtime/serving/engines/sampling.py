"""Sampling of tokens from logits, and decoding of tokens to text that is ready to be sent."""

from typing import Any

import torch

MIN_TEMPERATURE = 1e-4
MAX_CANDIDATES = 512


def make_generator(seed: int | None, device: Any) -> Any:
    """Return a random generator for one row, so that its answer does not depend on other rows."""
    generator = torch.Generator(device=device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed % (1 << 63))
    return generator


def choose(logits: Any, temperature: float, top_p: float, generator: Any) -> int:
    """Choose the next token of a row.

    Args:
        logits: Logits of shape (vocabulary,).
        temperature: If it is 0, or so small that dividing by it would overflow, the most likely
            token is chosen.
        top_p: Sample from the smallest set of tokens with this total probability
            (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751).
        generator: See :func:`make_generator`.
    """
    if temperature < MIN_TEMPERATURE:
        return int(logits.argmax())
    probabilities = torch.softmax(logits.float() / temperature, dim=-1)
    if top_p < 1:
        # Sorting the whole vocabulary is slow. The few most likely tokens nearly always contain the
        # set; only if they don't is everything sorted.
        ordered, order = probabilities.topk(min(MAX_CANDIDATES, len(probabilities)))
        if ordered.sum() < top_p:
            ordered, order = probabilities.sort(descending=True)
        # The token at which the sum reaches top_p belongs to the set, so it is never empty.
        ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
        return int(order[torch.multinomial(ordered, 1, generator=generator)])
    return int(torch.multinomial(probabilities, 1, generator=generator))


class Text:
    """The text of a growing answer: complete characters only, and nothing from a stop string on.

    Text that may be the beginning of a stop string is held back until more tokens have been added.
    """

    def __init__(self, tokenizer: Any, stop: list[str]) -> None:
        from tokenizers.decoders import DecodeStream

        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._stop = [text for text in stop if text]
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """Add a token and return the new text for the client; set ``stopped`` at a stop string."""
        self._held += self._stream.step(self._tokenizer, token) or ""
        places = [place for text in self._stop if (place := self._held.find(text)) >= 0]
        if places:
            self.stopped = True
            shown, self._held = self._held[: min(places)], ""
            return shown
        keep = max((_overlap(self._held, text) for text in self._stop), default=0)
        shown = self._held[: len(self._held) - keep]
        self._held = self._held[len(shown) :]
        return shown

    def rest(self) -> str:
        """Return the text that is still held back; call this at the end of an answer."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest suffix of ``text`` that is a prefix of ``stop``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0

"""From logits to a token, row by row, and from tokens to text that may be shown."""

from typing import Any

import torch

COLDEST = 1e-4
LIKELIEST = 512


def make_generator(seed: int | None, device: Any) -> Any:
    """A row's own source of randomness, so that an answer does not depend on its neighbours."""
    generator = torch.Generator(device=device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed % (1 << 63))
    return generator


def choose(logits: Any, temperature: float, top_p: float, generator: Any) -> int:
    """The next token of one row.

    Args:
        logits: shape (vocabulary,).
        temperature: 0, or so near to it that a quotient would overflow, takes the likeliest token.
        top_p: the smallest set of tokens with this much probability is sampled from
            (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751).
        generator: see :func:`make_generator`.
    """
    if temperature < COLDEST:
        return int(logits.argmax())
    probabilities = torch.softmax(logits.float() / temperature, dim=-1)
    if top_p < 1:
        # Sorting a whole vocabulary takes longer than all else here. The likeliest few nearly
        # always hold the set; where they do not, they are not used.
        ordered, order = probabilities.topk(min(LIKELIEST, len(probabilities)))
        if ordered.sum() < top_p:
            ordered, order = probabilities.sort(descending=True)
        # The token that crosses the line belongs to the set, so the first always does.
        ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
        return int(order[torch.multinomial(ordered, 1, generator=generator)])
    return int(torch.multinomial(probabilities, 1, generator=generator))


class Text:
    """The text of a growing answer: whole characters only, cut before a stop string.

    Text that may turn out to be the beginning of a stop string is held back.
    """

    def __init__(self, tokenizer: Any, stop: list[str]) -> None:
        from tokenizers.decoders import DecodeStream

        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._stop = [text for text in stop if text]
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """What may be shown after ``token``; sets ``stopped`` when a stop string is complete."""
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
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` begin ``stop``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0

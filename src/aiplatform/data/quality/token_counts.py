"""Count the tokens of texts exactly, without tokenizing repeated words again.

Byte-pair encoding works within the pieces into which the pre-tokenizer cuts a text. Pre-tokenizers
with the regular expressions of GPT-2, Llama 3 or Qwen 2 cut before every space that follows a
character other than white space, because no alternative of these expressions matches white space
after another character. Therefore the number of tokens in a text is the sum over its words, each
with the space before it. Counts of words are cached, because most words repeat. For a tokenizer
that is not known to be of this kind, whole texts are tokenized.

Chinese has no spaces. The expressions also cut between a letter or a number and the punctuation
that follows, so that Chinese texts are counted clause by clause.
"""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from tokenizers import Tokenizer

BATCH_TEXTS = 512
BATCH_CHARACTERS = 1 << 20
PIECE_CHARACTERS = 1 << 18
"""Length of the pieces in which longer texts are counted.

The tokenizer needs a hundred times as much memory as the size of a text, which is too much for a
text of many MiB.
"""

MOST_KNOWN = 1 << 17
"""Largest number of cached words."""
LONGEST_KNOWN = 64
"""Largest number of characters of a cached word."""

CLAUSE = re.compile(r"(?<=[0-9A-Za-z\u4e00-\u9fa5])(?=[，。！？；：、])")
HELD, FIRST = "\ue000", "\ue001"
"""Private-use characters: for a space at which the text is not cut, and before the first word."""
CUTS_AFTER = frozenset(" ，。！？；：、")

_LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|NUMBERS| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
KNOWN_SPLITS = frozenset(
    {_LLAMA.replace("NUMBERS", r"\p{N}{1,3}"), _LLAMA.replace("NUMBERS", r"\p{N}")}
)


class TokenCounts:
    """A token counter for texts.

    Args:
        tokenizer: The tokenizer; it must not pad or truncate.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._cuts = cuts_at_spaces(json.loads(tokenizer.to_str()))
        self._words: dict[str, int] = {}
        self._lasts: dict[str, int] = {}
        self._clauses: dict[str, int] = {}

    def of(self, texts: list[str]) -> list[int]:
        """Return the number of tokens of each text."""
        if not self._cuts:
            return self._whole(texts)
        words = [words_of(text) for text in texts]
        lasts = [each.pop() for each in words]  # The last words may end in white space.
        known, known_lasts = self._words, self._lasts
        new = set(chain.from_iterable(words)) - known.keys()
        self._learn(known, list(filter(ends_surely, new)))
        self._learn(known_lasts, list(set(lasts) - known_lasts.keys()))
        counts, odd = [0] * len(texts), []
        for number, (each, last) in enumerate(zip(words, lasts, strict=True)):
            try:
                counts[number] = sum(map(known.__getitem__, each)) + known_lasts[last]
            except KeyError:
                odd.append(number)
        for number, count in zip(odd, self._whole([texts[n] for n in odd]), strict=True):
            counts[number] = count
        forget(known)
        forget(known_lasts)
        return counts

    def _learn(self, known: dict[str, int], words: list[str]) -> None:
        counts = self._in_clauses([as_written(word) for word in words])
        known.update(zip(words, counts, strict=True))

    def _in_clauses(self, pieces: list[str]) -> list[int]:
        clauses = [[piece] if piece.isascii() else CLAUSE.split(piece) for piece in pieces]
        known = self._clauses
        new = list(set(chain.from_iterable(clauses)) - known.keys())
        known.update(zip(new, self._whole(new), strict=True))
        counts = [sum(map(known.__getitem__, each)) for each in clauses]
        forget(known)
        return counts

    def _whole(self, texts: list[str]) -> list[int]:
        counts = [0] * len(texts)
        for numbers, pieces in batches_of(texts):
            encoded = self._tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
            for number, piece in zip(numbers, encoded, strict=True):
                counts[number] += len(piece)
        return counts


def words_of(text: str) -> list[str]:
    """Split a text before each space that does not follow a space or a line end.

    All words but the first lack the space with which they begin; see :func:`as_written`.
    """
    if HELD in text or FIRST in text:
        return [HELD, text]  # Never a cached word, so that the whole text is tokenized.
    if text.startswith(" "):
        text = HELD + text[1:]
    if "  " in text or "\n " in text or text.startswith(HELD):
        text = text.replace("\n ", "\n" + HELD).replace("  ", " " + HELD)
        while HELD + " " in text:
            text = text.replace(HELD + " ", HELD + HELD)
    words = text.split(" ")
    words[0] = FIRST + words[0]
    return words


def ends_surely(word: str) -> bool:
    """Return True if the last character is not white space by any definition."""
    return word[-1:].isprintable() and word != ""


def as_written(word: str) -> str:
    """Return the text of a word from :func:`words_of`, with its leading space."""
    if word.startswith(FIRST):
        return word[1:].replace(HELD, " ")
    return " " + word.replace(HELD, " ")


def forget(known: dict[str, int]) -> None:
    """Limit a cache: remove long words, and all words if there are too many."""
    if len(known) > MOST_KNOWN:
        known.clear()
    for word in [word for word in known if len(word) > LONGEST_KNOWN]:
        del known[word]


def batches_of(texts: list[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Yield batches of limited size: pieces of texts, and the index of each piece's text."""
    numbers: list[int] = []
    pieces: list[str] = []
    held = 0
    for number, text in enumerate(texts):
        for start in range(0, len(text), PIECE_CHARACTERS):
            piece = text[start : start + PIECE_CHARACTERS]
            numbers.append(number)
            pieces.append(piece)
            held += len(piece)
            if held >= BATCH_CHARACTERS or len(pieces) >= BATCH_TEXTS:
                yield numbers, pieces
                numbers, pieces, held = [], [], 0
    if pieces:
        yield numbers, pieces


def cuts_at_spaces(config: dict[str, Any]) -> bool:
    """Return True if texts can be counted word by word with a tokenizer; see the module docstring.

    Args:
        config: The content of the tokenizer's ``tokenizer.json``.
    """
    model = config["model"]
    if model.get("type") != "BPE" or model.get("dropout"):
        return False
    # NFC joins a character only with marks that follow it; spaces and punctuation are not marks.
    if config["normalizer"] not in (None, {"type": "NFC"}):
        return False
    for token in config["added_tokens"]:
        if CUTS_AFTER & set(token["content"]) or token["lstrip"] or token["rstrip"]:
            return False
        if token["single_word"]:
            return False
    steps = _steps(config["pre_tokenizer"])
    return all(map(_keeps_cuts, steps)) and any(map(_cuts, steps))


def _steps(step: dict[str, Any] | None) -> list[dict[str, Any]]:
    if step is None:
        return []
    return list(step["pretokenizers"]) if step["type"] == "Sequence" else [step]


def _keeps_cuts(step: dict[str, Any]) -> bool:
    """Return True if a pre-tokenizer step gives the same result for parts as for the whole text."""
    match step["type"]:
        case "ByteLevel":
            return not step["add_prefix_space"]
        case "Digits":
            return True
    return _cuts(step)


def _cuts(step: dict[str, Any]) -> bool:
    if step["type"] == "ByteLevel":
        return bool(step["use_regex"])
    return (
        step["type"] == "Split"
        and step["pattern"].get("Regex") in KNOWN_SPLITS
        and step["behavior"] == "Isolated"
        and not step["invert"]
    )

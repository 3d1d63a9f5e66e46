"""Count letters by writing system in the texts of whole batches of rows."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.quality.damage import is_damaged
from aiplatform.data.quality.texts import sides_of

WRITING_SYSTEMS = {
    "latin": ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F)),
    "han": ((0x3400, 0x4DBF), (0x4E00, 0x9FFF)),
    "ja": ((0x3041, 0x30FF),),
    "ko": ((0x1100, 0x11FF), (0xAC00, 0xD7AF)),
    "cyrillic": ((0x400, 0x4FF),),
    "arabic": ((0x600, 0x6FF),),
    "th": ((0xE00, 0xE7F),),
    "hi": ((0x900, 0x97F),),
    "el": ((0x370, 0x3FF),),
    "he": ((0x590, 0x5FF),),
}
"""First and last code points of the ranges of each writing system."""
NAMES = list(WRITING_SYSTEMS)
LATIN, HAN, JAPANESE = (NAMES.index(name) for name in ("latin", "han", "ja"))
HAN_WEIGHT = 4
"""Number of letters that a Han character counts as: Chinese words have only one or two of them."""
LEAST_LETTERS = 12
CLEAR = 0.7
SENTENCE, LATIN_SENTENCE = 52, 72
"""Numbers of consecutive letters in another writing system, or in Latin, that make a text mixed.

Latin needs more, because other languages borrow its words, sometimes whole lists of them.
"""
SECOND, LEAST_SECOND = 0.3, 60
"""Share and number of letters of the second writing system that also make a text mixed."""
NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[^<>]{1,300}>"
    r"|“[^”\n]{1,100}”|‘[^’\n]{1,100}’|\"[^\"\n]{1,100}\"|「[^」\n]{1,100}」|《[^》\n]{1,100}》",
    re.DOTALL,
)
"""Pattern of quotations, and of code, web addresses and markup, which always use Latin letters."""


@dataclass(frozen=True, slots=True)
class LetterCounts:
    """The letters of a batch, counted by writing system.

    Attributes:
        sides: Letters by writing system in questions and answers, of shape
            (2, rows, writing systems).
        split: Rows with a text in mixed writing systems, ascending.
    """

    sides: np.ndarray
    split: np.ndarray


def count_letters(batch: pa.RecordBatch, names: list[str]) -> LetterCounts:
    """Count the letters by writing system in the columns ``names`` of a batch."""
    sides = np.zeros((2, batch.num_rows, len(NAMES)), np.int64)
    split = [np.zeros(0, np.int64)]
    for texts, rows, is_answer in sides_of(batch, names):
        present = pc.fill_null(pc.not_equal(texts, ""), False)
        found: list[str] = texts.filter(present).to_pylist()
        positions = rows.filter(present).to_numpy()
        counts, suspects = count_letters_of_texts(found)
        side = is_answer.filter(present).to_numpy(zero_copy_only=False).astype(np.int64)
        np.add.at(sides, (side, positions), counts)
        split.append(positions[confirm_mixed(found, np.flatnonzero(suspects))])
    return LetterCounts(sides, np.unique(np.concatenate(split)))


def confirm_mixed(texts: list[str], suspects: np.ndarray) -> np.ndarray:
    """Return the ``suspects`` whose prose alone mixes writing systems, and is not damaged."""
    prose = [NOT_PROSE.sub(" ", texts[index]) for index in suspects.tolist()]
    kept = suspects[count_letters_of_texts(prose)[1]]
    # Damaged text has letters of any writing system; it is a separate finding.
    whole = np.array([not is_damaged(texts[index]) for index in kept.tolist()], bool)
    return np.asarray(kept[whole])


def count_letters_of_texts(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Count the letters of each text by writing system, and find texts in several of them.

    Returns:
        The counts, of shape (texts, writing systems), and one boolean per text: True if it is
        mixed.
    """
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    systems = _TABLE[np.minimum(points, len(_TABLE) - 1)]
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    width = len(NAMES) + 1
    counts = np.bincount(owners * width + systems, minlength=len(texts) * width)
    counts = counts.reshape(len(texts), width)[:, :-1]
    counts[:, HAN] *= HAN_WEIGHT
    by_language = with_kana(counts)
    second = np.partition(by_language, -2, axis=1)[:, -2]
    split = (second >= LEAST_SECOND) & (second >= SECOND * by_language.sum(axis=1))
    doubtful = (second >= SENTENCE) & ~split
    if doubtful.any():
        chosen = doubtful[owners] & (systems < len(NAMES))
        split |= with_foreign_sentence(owners[chosen], systems[chosen], by_language)
    return counts, split


def with_foreign_sentence(
    owners: np.ndarray, systems: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return one boolean per text: True if it has a sentence outside its main writing system.

    Args:
        owners: The text of each letter, ascending.
        systems: The writing system of each letter.
        counts: Letters by text and writing system, as returned by :func:`with_kana`.
    """
    weights = np.where(systems == HAN, HAN_WEIGHT, 1)
    japanese = counts[owners, JAPANESE] > 0
    systems = np.where(japanese & (systems == HAN), JAPANESE, systems)
    keys = owners * len(NAMES) + systems
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    runs = np.add.reduceat(weights, starts)
    long = runs >= np.where(systems[starts] == LATIN, LATIN_SENTENCE, SENTENCE)
    foreign = systems[starts] != counts.argmax(axis=1)[owners[starts]]
    found = np.zeros(len(counts), bool)
    found[owners[starts][long & foreign]] = True
    return found


def with_kana(counts: np.ndarray) -> np.ndarray:
    """Count Han characters as Japanese in texts that have kana."""
    counts = counts.copy()
    kana = counts[:, JAPANESE] > 0
    counts[kana, JAPANESE] += counts[kana, HAN]
    counts[kana, HAN] = 0
    return counts


def clear_writing_systems(counts: np.ndarray) -> np.ndarray:
    """Return the index of each row's clearly dominant writing system, or -1."""
    counts = with_kana(counts)
    most = counts.max(axis=1)
    clear = (most >= LEAST_LETTERS) & (most >= CLEAR * counts.sum(axis=1))
    return np.where(clear, counts.argmax(axis=1), -1)


def _writing_system_table() -> np.ndarray:
    table = np.full(0xD7B1, len(NAMES), np.uint8)
    for number, ranges in enumerate(WRITING_SYSTEMS.values()):
        for first, last in ranges:
            table[first : last + 1] = number
    return table


_TABLE = _writing_system_table()
"""Index in ``NAMES`` of each code point's writing system; ``len(NAMES)`` for all others."""

"""Which scripts the letters of texts are of, counted over whole batches at once."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.quality.damage import is_damaged
from aiplatform.data.quality.texts import sides_of

SCRIPTS = {
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
"""Code points, first and last, of each script."""
NAMES = list(SCRIPTS)
LATIN, HAN, JAPANESE = (NAMES.index(name) for name in ("latin", "han", "ja"))
HAN_WEIGHT = 4
"""A Han character counts as so many letters: a word of Chinese has one or two of them."""
LEAST_LETTERS = 12
CLEAR = 0.7
SENTENCE, LATIN_SENTENCE = 52, 72
"""Letters of a sentence. A text changes its script when another has so many in a row. Latin ones
need more: their words are borrowed everywhere, lists of them too."""
SECOND, LEAST_SECOND = 0.3, 60
"""It does as well when the second script has this share of its letters, and so many."""
NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[^<>]{1,300}>"
    r"|“[^”\n]{1,100}”|‘[^’\n]{1,100}’|\"[^\"\n]{1,100}\"|「[^」\n]{1,100}」|《[^》\n]{1,100}》",
    re.DOTALL,
)
"""Code, addresses and markup, which are Latin everywhere, and what is quoted."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What the letters of a batch say.

    Attributes:
        sides: letters of each script in what is asked and what is said: (2, rows, scripts).
        split: rows with a text that changes its script, ascending.
    """

    sides: np.ndarray
    split: np.ndarray


def looked_at(batch: pa.RecordBatch, names: list[str]) -> Looked:
    """The scripts in the columns ``names`` of a batch."""
    sides = np.zeros((2, batch.num_rows, len(NAMES)), np.int64)
    split = [np.zeros(0, np.int64)]
    for texts, rows, said in sides_of(batch, names):
        present = pc.fill_null(pc.not_equal(texts, ""), False)
        found: list[str] = texts.filter(present).to_pylist()
        places = rows.filter(present).to_numpy()
        counts, suspects = letters_of(found)
        side = said.filter(present).to_numpy(zero_copy_only=False).astype(np.int64)
        np.add.at(sides, (side, places), counts)
        split.append(places[confirmed(found, np.flatnonzero(suspects))])
    return Looked(sides, np.unique(np.concatenate(split)))


def confirmed(texts: list[str], suspects: np.ndarray) -> np.ndarray:
    """Those of the texts numbered ``suspects`` that change their script in their prose."""
    prose = [NO_PROSE.sub(" ", texts[index]) for index in suspects.tolist()]
    kept = suspects[letters_of(prose)[1]]
    # Damage has letters of any script; it is a finding of its own.
    whole = np.array([not is_damaged(texts[index]) for index in kept.tolist()], bool)
    return np.asarray(kept[whole])


def letters_of(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Letters of each script in each text (texts, scripts), and which texts change theirs."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    scripts = _TABLE[np.minimum(points, len(_TABLE) - 1)]
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    width = len(NAMES) + 1
    counts = np.bincount(owners * width + scripts, minlength=len(texts) * width)
    counts = counts.reshape(len(texts), width)[:, :-1]
    counts[:, HAN] *= HAN_WEIGHT
    by_language = with_kana(counts)
    second = np.partition(by_language, -2, axis=1)[:, -2]
    split = (second >= LEAST_SECOND) & (second >= SECOND * by_language.sum(axis=1))
    doubtful = (second >= SENTENCE) & ~split
    if doubtful.any():
        chosen = doubtful[owners] & (scripts < len(NAMES))
        split |= with_foreign_sentence(owners[chosen], scripts[chosen], by_language)
    return counts, split


def with_foreign_sentence(
    owners: np.ndarray, scripts: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Which texts have a sentence's letters in a row that are not of their main script.

    Args:
        owners: the text of each letter, ascending.
        scripts: the script of each letter.
        counts: letters by text and script, as :func:`with_kana` has them.
    """
    weights = np.where(scripts == HAN, HAN_WEIGHT, 1)
    japanese = counts[owners, JAPANESE] > 0
    scripts = np.where(japanese & (scripts == HAN), JAPANESE, scripts)
    keys = owners * len(NAMES) + scripts
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    runs = np.add.reduceat(weights, starts)
    long = runs >= np.where(scripts[starts] == LATIN, LATIN_SENTENCE, SENTENCE)
    foreign = scripts[starts] != counts.argmax(axis=1)[owners[starts]]
    found = np.zeros(len(counts), bool)
    found[owners[starts][long & foreign]] = True
    return found


def with_kana(counts: np.ndarray) -> np.ndarray:
    """Letters by script where Han beside kana is Japanese."""
    counts = counts.copy()
    kana = counts[:, JAPANESE] > 0
    counts[kana, JAPANESE] += counts[kana, HAN]
    counts[kana, HAN] = 0
    return counts


def clear_scripts(counts: np.ndarray) -> np.ndarray:
    """The script that clearly rules each row of counts; -1 where none does."""
    counts = with_kana(counts)
    most = counts.max(axis=1)
    clear = (most >= LEAST_LETTERS) & (most >= CLEAR * counts.sum(axis=1))
    return np.where(clear, counts.argmax(axis=1), -1)


def _script_table() -> np.ndarray:
    table = np.full(0xD7B1, len(NAMES), np.uint8)
    for number, ranges in enumerate(SCRIPTS.values()):
        for first, last in ranges:
            table[first : last + 1] = number
    return table


_TABLE = _script_table()
"""The number of a code point's script; one more than there are for all else."""

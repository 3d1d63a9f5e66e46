"""Check for rare languages, and for answers in a different writing system than their question.

The writing system identifies the language if only one major language uses it (Chinese, Japanese,
Korean and others). Many languages share Latin, Cyrillic and Arabic letters; for these, a model
classifies the beginning of each row.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import (
    MAX_EXAMPLES,
    Check,
    Context,
    Example,
    Finding,
    Severity,
    row_numbers,
    row_preview,
)
from aiplatform.data.quality.language_model import LANGUAGES, language_model
from aiplatform.data.quality.texts import sides_of
from aiplatform.data.quality.writing_systems import (
    HAN,
    NAMES,
    NOT_PROSE,
    clear_writing_systems,
    count_letters,
)

SHARED = [NAMES.index(name) for name in ("latin", "cyrillic", "arabic")]
LANGUAGES_OF_WRITING_SYSTEMS = [
    "zh" if number == HAN else name for number, name in enumerate(NAMES)
]
ALL_NAMES = [*LANGUAGES_OF_WRITING_SYSTEMS, *LANGUAGES]
UNKNOWN = 255

HEAD = 160
"""Number of characters of a row that are classified."""
LEAST_LATIN = 40
"""Number of characters that a text in a shared writing system needs to be classified."""
CLEAR_BY = 12.0
"""Minimum difference, in nats, between the log-likelihoods of the two most likely languages.

Lists of names and numbers, which are not in any language, stay below it.
"""
MAIN, RARE = 0.9, 0.05


class Languages(Check):
    """A check of the language of each row."""

    in_numpy = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._mixed = context.new_tally()
        self._within = context.new_tally()
        self._counts = np.zeros(UNKNOWN + 1, np.int64)
        # Rows by language, without those whose answer and question use different writing systems.
        self._alike = np.zeros(UNKNOWN + 1, np.int64)
        self._languages: list[np.ndarray] = []
        self._examples: dict[int, list[Example]] = {}

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        letters = count_letters(batch, self.context.content)
        questions, answers = (clear_writing_systems(counts) for counts in letters.sides)
        mixed = (questions >= 0) & (answers >= 0) & (questions != answers)
        self._mixed.add_where(pa.array(mixed), batch, first_row)
        split = np.zeros(batch.num_rows, bool)
        split[letters.split] = True
        self._within.add_where(pa.array(split), batch, first_row)
        languages = self._languages_of(batch, clear_writing_systems(letters.sides.sum(axis=0)))
        self._counts += np.bincount(languages, minlength=len(self._counts))
        # An answer in a different writing system than the question is a separate finding.
        languages[mixed] = UNKNOWN
        self._alike += np.bincount(languages, minlength=len(self._alike))
        if self.context.keeps_rows:
            self._languages.append(languages)
        self._keep_examples(batch, first_row, languages)

    def _languages_of(self, batch: pa.RecordBatch, systems: np.ndarray) -> np.ndarray:
        """Return the index in :data:`ALL_NAMES` of each row's language, or :data:`UNKNOWN`."""
        found = np.where(systems >= 0, systems, UNKNOWN).astype(np.uint8)
        shared = np.flatnonzero(np.isin(systems, SHARED))
        found[shared] = UNKNOWN
        if not len(shared):
            return found
        heads = heads_of(batch.take(pa.array(shared)), self.context.content)
        long = np.array([len(head) >= LEAST_LATIN for head in heads])
        found[shared[long]] = classify([head for head in heads if len(head) >= LEAST_LATIN])
        return found

    def _keep_examples(self, batch: pa.RecordBatch, first_row: int, languages: np.ndarray) -> None:
        for language in np.unique(languages).tolist():
            kept = self._examples.setdefault(language, [])
            wanted = MAX_EXAMPLES - len(kept)
            for index in np.flatnonzero(languages == language)[:wanted].tolist():
                kept.append(Example(first_row + index, row_preview(batch, index)))

    def _mix(self) -> dict[str, int]:
        """Return the number of rows by language, the most frequent first."""
        known = zip(ALL_NAMES, self._counts.tolist(), strict=False)
        return dict(sorted(((n, c) for n, c in known if c), key=lambda pair: -pair[1]))

    def summary(self) -> dict[str, Any] | None:
        """Return the shares of the 20 most frequent languages (ISO 639-1).

        Only rows whose language is clear count. Returns None if there are no such rows.
        """
        mix = self._mix()
        if not mix:
            return None
        total = sum(mix.values())
        shares = {name: round(count / total, 4) for name, count in list(mix.items())[:20]}
        return {"rows": total, "shares": shares}

    def findings(self) -> list[Finding]:
        found = []
        if self._mixed.count:
            found.append(
                Finding(
                    "mixed_languages",
                    Severity.INFO,
                    self._mixed.count,
                    Words(
                        "the answer is in another writing system than the question",
                        "回答与提问使用的文字不同",
                    ),
                    Words(
                        "Unless these are translations, the model learns to switch languages.",
                        "除非是翻译任务，否则模型会学会随意切换语言。",
                    ),
                    examples=self._mixed.examples,
                    rows=self._mixed.rows,
                )
            )
        if self._within.count:
            found.append(
                Finding(
                    "language_switches",
                    Severity.INFO,
                    self._within.count,
                    Words(
                        "a single text mixes two writing systems",
                        "同一段文本混用两种文字",
                    ),
                    Words(
                        "Unless people really write like this, the model learns to switch "
                        "languages in the middle of an answer.",
                        "除非人们确实这样书写，否则模型会学会在回答中途切换语言。",
                    ),
                    examples=self._within.examples,
                    rows=self._within.rows,
                )
            )
        return found + self._rare()

    def _rare(self) -> list[Finding]:
        mix = self._mix()
        total = sum(mix.values())
        rare = [name for name, count in mix.items() if count < RARE * total]
        if not rare or max(mix.values()) < MAIN * total:
            return []
        numbers = [ALL_NAMES.index(name) for name in rare]
        count = int(self._alike[numbers].sum())
        if not count:
            return []
        main, listed = next(iter(mix)), ", ".join(rare[:10])
        examples = [e for number in numbers for e in self._examples.get(number, ())]
        kept = np.concatenate([np.zeros(0, np.uint8), *self._languages])
        return [
            Finding(
                "rare_languages",
                Severity.INFO,
                count,
                Words(
                    f"not in the main language ({main}), but in {listed}",
                    f"不是主要语言（{main}），而是 {listed}",
                ),
                Words(
                    "These rows are too few to learn the language, but enough to disturb training.",
                    "数量太少，模型学不会该语言，却足以干扰训练。",
                ),
                examples=sorted(examples, key=lambda example: example.row)[:MAX_EXAMPLES],
                rows=row_numbers(np.flatnonzero(np.isin(kept, numbers))),
            )
        ]


def classify(heads: list[str]) -> np.ndarray:
    """Return the index in :data:`ALL_NAMES` of each text's language, or :data:`UNKNOWN`."""
    if not heads:
        return np.zeros(0, np.uint8)
    scores = language_model().scores(heads)
    best = scores.argmax(axis=1)
    second, first = np.partition(scores, (-2, -1), axis=1)[:, -2:].T
    # The model's order of languages may differ from that of ALL_NAMES.
    positions = np.array([ALL_NAMES.index(name) for name in language_model().names])
    return np.where(first - second >= CLEAR_BY, positions[best], UNKNOWN).astype(np.uint8)


def heads_of(batch: pa.RecordBatch, names: list[str]) -> list[str]:
    """Return the first :data:`HEAD` characters of prose in each row.

    They are taken from the answers if these are long enough, because the other texts may be the
    same instruction in all rows.
    """
    answers, others = [""] * batch.num_rows, [""] * batch.num_rows
    for texts, rows, is_answer in sides_of(batch, names):
        # Take more than HEAD characters, because code and quotes at the beginning are removed.
        begin = pc.utf8_slice_codeunits(texts, 0, 4 * HEAD)
        for text, row, answer in zip(
            begin.to_pylist(), rows.to_pylist(), is_answer.to_pylist(), strict=True
        ):
            heads = answers if answer else others
            if text and len(heads[row]) < HEAD:
                heads[row] = f"{heads[row]} {prose_of(text)}".strip()[:HEAD]
    return [
        answer if len(answer) >= LEAST_LATIN else f"{answer} {other}".strip()[:HEAD]
        for answer, other in zip(answers, others, strict=True)
    ]


def prose_of(text: str) -> str:
    """Remove code, web addresses, markup and quotations from ``text``."""
    if "`" in text or "<" in text or "://" in text:
        return NOT_PROSE.sub(" ", text)
    return text

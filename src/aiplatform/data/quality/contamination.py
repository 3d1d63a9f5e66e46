"""Check for benchmark passages in the data.

The procedure is that of GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C): a row is
contaminated if it shares a run of N words with a row of the benchmark. N is the 5th percentile of
the word counts of the benchmark's rows, but at least 8 and at most 13. Case and punctuation are
ignored. Runs that occur in very many rows of the data are common phrases (or parts of a template)
and do not count.

In writing systems without spaces, each character counts as a word. Because about one and a half
characters make a word, N is between 12 and 20 there.
"""

from typing import Any

import numpy as np
import pyarrow as pa

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
    shorten,
)
from aiplatform.data.quality.references import (
    Reference,
    SortedKeys,
    all_tokens,
    map_file,
    unnamed_file,
)
from aiplatform.data.quality.shingles import INVERSE, PRIME, powers
from aiplatform.data.quality.writing_systems import NAMES, count_letters

LEAST_RUN, MOST_RUN = 8, 13
LEAST_RUN_SPACELESS, MOST_RUN_SPACELESS = 12, 20
COMMON_ROWS = 10
"""Number of rows up to which a run never counts as a common phrase."""
COMMON_SHARE = 0.001
"""Share of the rows up to which a run never counts as a common phrase."""

METHOD = Words(
    "runs of {run} words in common (Brown et al. 2020, arXiv:2005.14165, appendix C)",
    "连续 {run} 个词相同（Brown 等 2020，arXiv:2005.14165，附录 C）",
)


class Contamination(Check):
    """A check that compares the rows with each reference that has the role ``benchmark``."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._indexes = [BenchmarkIndex(r) for r in context.references if r.role == "benchmark"]
        self._previews: dict[int, str] = {}

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        if not self._indexes:
            return
        tokens, rows = all_tokens(batch, self.context.content)
        runs = {run: runs_of(tokens, rows, run) for run in {i.run for i in self._indexes}}
        for index in self._indexes:
            keys, owners = runs[index.run]
            hit = index.look(keys, owners + first_row)
            for row in hit[:MAX_EXAMPLES].tolist():
                if len(self._previews) < 50 * MAX_EXAMPLES:
                    self._previews.setdefault(row, row_preview(batch, row - first_row))

    def findings(self) -> list[Finding]:
        most = max(COMMON_ROWS, int(COMMON_SHARE * self.context.rows))
        examples: list[Example] = []
        found = [np.zeros(0, np.int64)]
        counts: list[str] = []
        for index in self._indexes:
            rows, theirs = index.close(most)
            if not len(rows):
                continue
            found.append(rows)
            counts.append(f"{index.reference.label} ({index.contaminated}/{index.rows})")
            for row, other in list(zip(rows.tolist(), theirs.tolist(), strict=True))[:MAX_EXAMPLES]:
                seen = self._previews.get(row, "")
                examples.append(Example(row, shorten(f"= {index.reference.label} {other}: {seen}")))
        rows = np.unique(np.concatenate(found))
        if not len(rows):
            return []
        listed = ", ".join(counts)
        return [
            Finding(
                "contamination",
                Severity.ERROR,
                len(rows),
                Words(
                    f"contains passages of benchmarks (contaminated benchmark rows): {listed}",
                    f"包含基准测试的原文（受影响的基准条目数）：{listed}",
                ),
                Words(
                    "The model memorises the benchmark, so its results there are meaningless.",
                    "模型会记住基准测试的内容，其得分不再有意义。",
                ),
                examples=sorted(examples, key=lambda example: example.row)[:MAX_EXAMPLES],
                rows=row_numbers(rows),
            )
        ]

    def summary(self) -> list[dict[str, Any]]:
        """Return the number of contaminated rows for each benchmark.

        Call this after :meth:`findings`.
        """
        return [index.summary() for index in self._indexes]


class BenchmarkIndex:
    """The word runs of one benchmark, and their occurrences in the data."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        lengths: list[np.ndarray] = []
        letters = np.zeros(2, np.int64)
        for batch, names in reference.batches():
            _, rows = all_tokens(batch, names)
            lengths.append(np.bincount(rows, minlength=batch.num_rows))
            letters += spaceless_letters(batch, names)
        counts = np.concatenate([*lengths, np.zeros(0, np.int64)])
        self.rows = len(counts)
        spaceless = letters[0] > letters[1] / 2
        least, most = (
            (LEAST_RUN_SPACELESS, MOST_RUN_SPACELESS) if spaceless else (LEAST_RUN, MOST_RUN)
        )
        short = int(np.percentile(counts, 5)) if len(counts) else least
        self.run = min(max(short, least), most)
        self.too_short = int((counts < self.run).sum())
        keys, owners = unnamed_file(), unnamed_file()
        done = 0
        for batch, names in reference.batches():
            found, rows = runs_of(*all_tokens(batch, names), self.run)
            keys.write(found.tobytes())
            owners.write((rows + done).astype(np.uint32).tobytes())
            done += batch.num_rows
        self._runs = SortedKeys(map_file(keys, np.uint64), map_file(owners, np.uint32))
        self._times = np.zeros(len(self._runs.keys), np.uint32)
        self._hits = unnamed_file()
        self.contaminated = 0

    def look(self, keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Record the runs that the benchmark contains, too, and return the rows with such runs."""
        positions = self._runs.positions(keys)
        hit = positions >= 0
        if not hit.any():
            return np.zeros(0, np.int64)
        pairs = np.unique(np.stack([rows[hit], positions[hit]], axis=1), axis=0)
        np.add.at(self._times, pairs[:, 1], 1)
        self._hits.write(pairs.astype(np.uint32).tobytes())
        return np.unique(pairs[:, 0])

    def close(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the contaminated rows, ascending, each with a benchmark row that shares a run.

        Runs that occur in more than ``most`` rows are ignored.
        """
        pairs = map_file(self._hits, np.uint32).reshape(-1, 2)
        pairs = pairs[self._times[pairs[:, 1]] <= most]
        rows, first = np.unique(pairs[:, 0], return_index=True)
        theirs = self._runs.rows[pairs[first, 1]] if len(first) else np.zeros(0, np.uint32)
        met = np.unique(self._runs.keys[np.unique(pairs[:, 1])])
        contaminated = np.isin(self._runs.keys, met)
        self.contaminated = len(np.unique(self._runs.rows[contaminated]))
        return rows.astype(np.int64), theirs

    def summary(self) -> dict[str, Any]:
        """Return the summary for the report; its numbers count rows of the benchmark."""
        return {
            "label": self.reference.label,
            "dataset": self.reference.dataset,
            "role": "benchmark",
            "rows": self.rows,
            "contaminated": self.contaminated,
            "too_short": self.too_short,
            "run": self.run,
            "method": METHOD.en.format(run=self.run),
            "method_zh": METHOD.zh.format(run=self.run),
        }


def spaceless_letters(batch: pa.RecordBatch, names: list[str]) -> np.ndarray:
    """Return the number of letters in writing systems without spaces, and of all other letters."""
    counts = count_letters(batch, names).sides.sum(axis=(0, 1))
    spaceless = sum(int(counts[NAMES.index(name)]) for name in ("han", "ja", "th"))
    return np.array([spaceless, int(counts.sum()) - spaceless])


def runs_of(tokens: np.ndarray, rows: np.ndarray, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a hash (uint64, never 0) and the row of each run of ``run`` tokens within a row."""
    if len(tokens) < run:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    sums = np.concatenate(([np.uint64(0)], np.cumsum(tokens * powers(PRIME, len(tokens)))))
    starts = len(tokens) - run + 1
    # As for words in :mod:`shingles`: a difference of running sums, normalised by its start.
    hashes = (sums[run:] - sums[:starts]) * powers(INVERSE, starts)
    hashes = (hashes ^ (hashes >> np.uint64(29))) | np.uint64(1)
    within = rows[:starts] == rows[run - 1 :]
    return hashes[within], rows[:starts][within]

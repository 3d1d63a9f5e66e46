"""Labels that are likely wrong, by confident learning.

Northcutt, Jiang and Chuang 2021, “Confident Learning: Estimating Uncertainty in Dataset Labels”
(JAIR 70, arXiv:1911.00068): every row's label is predicted by a model that has not seen the row; a
row that the model takes for another label, at least as confidently as it takes rows of that label
for what they are on average, is an off-diagonal entry of the confident joint.

The model is logistic regression over the TF-IDF of tokens and token pairs, five-fold. It learns
twice: the second time without the rows that it doubted, whose labels would make it less sure of the
others. It is judged too: where it is little better than guessing, it accuses nobody.
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
    shorten,
)
from aiplatform.data.quality.shingles import shingled, tokens_of
from aiplatform.protocol.enums import DataShape

SAMPLE = 10_000
"""Rows that are looked at; of more, every n-th."""
FOLDS = 5
LEAST_ROWS = 20
"""Labels with fewer rows are left out: nothing can be learned of them."""
MOST_LABELS = 200
FEATURES = 1 << 18
HEAD = 2000
"""Characters of a text that are read."""
CONFIDENT = 0.6
"""A row that is taken for another label with this chance is doubted, whatever the mean chance."""
LEAST_GAIN = 0.2
"""The part of the way from guessing the most frequent label to certainty that the model must go."""


class LabelErrors(Check):
    """Of classifications; see the module."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._labelled = context.shape is DataShape.CLASSIFICATION
        self._stride = max(1, -(-context.rows // SAMPLE))
        self._texts: list[str] = []
        self._labels: list[str] = []
        self._rows: list[int] = []

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        if not self._labelled:
            return
        chosen = np.arange(-first_row % self._stride, batch.num_rows, self._stride)
        texts = pc.utf8_slice_codeunits(batch.column("text").take(pa.array(chosen)), 0, HEAD)
        labels = batch.column("label").take(pa.array(chosen)).cast(pa.string())
        for index, text, label in zip(
            chosen.tolist(), texts.to_pylist(), labels.to_pylist(), strict=True
        ):
            if text and label is not None:
                self._texts.append(text)
                self._labels.append(label)
                self._rows.append(first_row + index)

    def findings(self) -> list[Finding]:
        names, codes = np.unique(np.array(self._labels, object).astype(str), return_inverse=True)
        counts = np.bincount(codes, minlength=len(names))
        known = np.flatnonzero(counts >= LEAST_ROWS)
        if not 2 <= len(known) <= MOST_LABELS:
            return []
        inside = np.flatnonzero(np.isin(codes, known))
        labels = np.searchsorted(known, codes[inside])
        features = features_of([self._texts[i] for i in inside.tolist()])
        chances = held_out_chances(features, labels)
        if not better_than_guessing(chances, labels):
            return []
        doubted, _ = off_diagonal(chances, labels)
        chances = relearned_chances(features, labels, doubted, chances)
        wrong, meant = off_diagonal(chances, labels, CONFIDENT)
        if not len(wrong):
            return []
        rows = np.array(self._rows)[inside]
        doubt = chances[wrong, meant] - chances[wrong, labels[wrong]]
        worst = np.argsort(-doubt, kind="stable")[:MAX_EXAMPLES]
        examples = []
        for number in worst.tolist():
            at = int(wrong[number])
            given, likely = names[known[labels[at]]], names[known[meant[number]]]
            text = self._texts[int(inside[at])]
            examples.append(Example(int(rows[at]), shorten(f"{given} → {likely}? {text}")))
        sampled = self._stride > 1
        return [
            Finding(
                "label_errors",
                Severity.WARNING,
                len(wrong),
                Words(
                    "the label is probably wrong"
                    + (f"; found in a sample of {len(self._rows)} rows" if sampled else ""),
                    "标签很可能有误" + (f"（在 {len(self._rows)} 条抽样中）" if sampled else ""),
                ),
                Words(
                    "The model learns the mistakes, and is judged by them.",
                    "模型会学到这些错误，并被错误的标签评判。",
                ),
                column="label",
                examples=examples,
                rows=row_numbers(rows[wrong]),
            )
        ]


def features_of(texts: list[str]) -> Any:
    """TF-IDF of tokens and of token pairs, hashed; a sparse matrix of one row a text."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415  (half a second, for classifications only)
    from sklearn.feature_extraction.text import TfidfTransformer  # noqa: PLC0415

    array = pa.array(texts, pa.string())
    tokens, rows = tokens_of([(array, pa.array(range(len(texts)), pa.int64()))])
    pairs, bounds = shingled(tokens, rows, len(texts))
    columns = np.concatenate([tokens >> np.uint64(40), pairs.astype(np.uint64) >> np.uint64(8)])
    places = np.concatenate([rows, np.repeat(np.arange(len(texts)), np.diff(bounds))])
    values = np.ones(len(columns), np.float32)
    shape = (len(texts), FEATURES)
    counted = csr_matrix((values, (places, (columns % np.uint64(FEATURES)).astype(int))), shape)
    # Columns of nothing teach nothing, and would take most of the time.
    counted = counted[:, np.unique(counted.indices)]
    return TfidfTransformer(sublinear_tf=True).fit_transform(counted)


def held_out_chances(features: Any, labels: np.ndarray) -> np.ndarray:
    """(rows, labels): the chance of each label, by models that have not seen the row."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict  # noqa: PLC0415

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    chances: np.ndarray = cross_val_predict(
        _model(), features, labels, cv=folds, method="predict_proba"
    )
    return chances


def relearned_chances(
    features: Any, labels: np.ndarray, doubted: np.ndarray, chances: np.ndarray
) -> np.ndarray:
    """The chances by models that have seen neither the row nor any that is doubted.

    They stay as they are where none is doubted, or too few rows of a label would be left.
    """
    kept = np.setdiff1d(np.arange(len(labels)), doubted)
    left = np.bincount(labels[kept], minlength=chances.shape[1])
    if not len(doubted) or left.min() < LEAST_ROWS // 2:
        return chances
    relearned = chances.copy()
    relearned[kept] = held_out_chances(features[kept], labels[kept])
    relearned[doubted] = _model().fit(features[kept], labels[kept]).predict_proba(features[doubted])
    return relearned


def _model() -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    return LogisticRegression(C=10.0, max_iter=100, tol=1e-4)


def better_than_guessing(chances: np.ndarray, labels: np.ndarray) -> bool:
    """Whether what the model says of labels means anything."""
    guessed = np.bincount(labels).max() / len(labels)
    right = float((chances.argmax(axis=1) == labels).mean())
    return bool(right >= guessed + LEAST_GAIN * (1 - guessed))


def off_diagonal(
    chances: np.ndarray, labels: np.ndarray, enough: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that the confident joint counts under another label than theirs, and that label.

    The threshold of a label is the mean chance that its own rows are given for it, or ``enough``.
    """
    count = chances.shape[1]
    own = chances[np.arange(len(labels)), labels]
    sums = np.bincount(labels, weights=own, minlength=count)
    thresholds = np.minimum(sums / np.bincount(labels, minlength=count), enough)
    confident = np.where(chances >= thresholds, chances, -1.0)
    likely = confident.argmax(axis=1)
    sure = confident[np.arange(len(labels)), likely] > np.maximum(own, 0)
    wrong = np.flatnonzero(sure & (likely != labels))
    return wrong, likely[wrong]

"""Check for labels that are probably wrong, with confident learning.

The method is that of Northcutt, Jiang and Chuang 2021, “Confident Learning: Estimating Uncertainty
in Dataset Labels” (JAIR 70, arXiv:1911.00068). For each row, a model that was not trained on it
predicts the label. The threshold of a label is the average probability that the model gives to the
label in the rows that have it. If another label reaches its threshold and is more probable than the
row's own label, the row is an off-diagonal entry of the confident joint.

The model is a logistic regression over the TF-IDF of tokens and token pairs, with five folds. It is
trained twice, the second time without the suspicious rows, whose labels would make it less certain
about the others. If its accuracy is hardly better than guessing, nothing is reported.
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
from aiplatform.data.quality.shingles import shingles_of_tokens, tokens_of
from aiplatform.protocol.enums import DataShape

SAMPLE = 10_000
"""Largest number of rows that are examined; in larger datasets, only every n-th row is."""
FOLDS = 5
LEAST_ROWS = 20
"""Number of rows that a label needs; rarer labels are ignored, because they can't be learned."""
MOST_LABELS = 200
FEATURES = 1 << 18
HEAD = 2000
"""Maximum number of characters used from each text."""
CONFIDENT = 0.6
"""Upper limit for the thresholds of labels, which are average probabilities."""
LEAST_GAIN = 0.2
"""Minimum gain in accuracy over guessing, as a fraction of the largest possible gain.

Guessing means always predicting the most frequent label.
"""


class LabelErrors(Check):
    """A check for wrong labels in classification datasets; see the module docstring."""

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
        probabilities = held_out_probabilities(features, labels)
        if not better_than_guessing(probabilities, labels):
            return []
        suspicious, _ = off_diagonal(probabilities, labels)
        probabilities = retrained_probabilities(features, labels, suspicious, probabilities)
        wrong, meant = off_diagonal(probabilities, labels, CONFIDENT)
        if not len(wrong):
            return []
        rows = np.array(self._rows)[inside]
        doubt = probabilities[wrong, meant] - probabilities[wrong, labels[wrong]]
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
                    "The model learns the wrong labels, and is evaluated with them.",
                    "模型会学到错误的标签，评估也会以错误的标签为准。",
                ),
                column="label",
                examples=examples,
                rows=row_numbers(rows[wrong]),
            )
        ]


def features_of(texts: list[str]) -> Any:
    """Return a sparse matrix of hashed TF-IDF features of tokens and token pairs, by text."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415  (half a second, for classifications only)
    from sklearn.feature_extraction.text import TfidfTransformer  # noqa: PLC0415

    array = pa.array(texts, pa.string())
    tokens, rows = tokens_of([(array, pa.array(range(len(texts)), pa.int64()))])
    pairs, bounds = shingles_of_tokens(tokens, rows, len(texts))
    columns = np.concatenate([tokens >> np.uint64(40), pairs.astype(np.uint64) >> np.uint64(8)])
    places = np.concatenate([rows, np.repeat(np.arange(len(texts)), np.diff(bounds))])
    values = np.ones(len(columns), np.float32)
    shape = (len(texts), FEATURES)
    counted = csr_matrix((values, (places, (columns % np.uint64(FEATURES)).astype(int))), shape)
    # Empty columns contribute nothing, but would take most of the time.
    counted = counted[:, np.unique(counted.indices)]
    return TfidfTransformer(sublinear_tf=True).fit_transform(counted)


def held_out_probabilities(features: Any, labels: np.ndarray) -> np.ndarray:
    """Return the probability of each label, of shape (rows, labels).

    The probabilities of a row come from a model that was not trained on that row.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict  # noqa: PLC0415

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    probabilities: np.ndarray = cross_val_predict(
        _model(), features, labels, cv=folds, method="predict_proba"
    )
    return probabilities


def retrained_probabilities(
    features: Any, labels: np.ndarray, suspicious: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Return the probabilities of models that were trained without the suspicious rows.

    The probabilities of a row come from a model that was not trained on that row either.
    ``probabilities`` is returned unchanged if no row is suspicious, or if too few rows of a label
    would be left.
    """
    kept = np.setdiff1d(np.arange(len(labels)), suspicious)
    left = np.bincount(labels[kept], minlength=probabilities.shape[1])
    if not len(suspicious) or left.min() < LEAST_ROWS // 2:
        return probabilities
    retrained = probabilities.copy()
    retrained[kept] = held_out_probabilities(features[kept], labels[kept])
    retrained[suspicious] = (
        _model().fit(features[kept], labels[kept]).predict_proba(features[suspicious])
    )
    return retrained


def _model() -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    return LogisticRegression(C=10.0, max_iter=100, tol=1e-4)


def better_than_guessing(probabilities: np.ndarray, labels: np.ndarray) -> bool:
    """Return True if the model's accuracy is clearly better than guessing."""
    guessed = np.bincount(labels).max() / len(labels)
    right = float((probabilities.argmax(axis=1) == labels).mean())
    return bool(right >= guessed + LEAST_GAIN * (1 - guessed))


def off_diagonal(
    probabilities: np.ndarray, labels: np.ndarray, enough: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of probably mislabelled rows, and their labels in the confident joint.

    The threshold of a label is the mean probability of the label in its own rows, but at most
    ``enough``.
    """
    count = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    sums = np.bincount(labels, weights=own, minlength=count)
    thresholds = np.minimum(sums / np.bincount(labels, minlength=count), enough)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely = confident.argmax(axis=1)
    sure = confident[np.arange(len(labels)), likely] > np.maximum(own, 0)
    wrong = np.flatnonzero(sure & (likely != labels))
    return wrong, likely[wrong]

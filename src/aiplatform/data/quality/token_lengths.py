"""The lengths of the rows in tokens, with the related findings and statistics."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Finding, Severity, Tally

BINS = 20


@dataclass(slots=True)
class TokenLengths:
    """The lengths of the rows of a dataset, in tokens.

    Attributes:
        max_length: Number of tokens at which training truncates a row.
        own_template: True if the chat template belongs to the model; False for the plain default.
        over: The rows that are truncated.
        refused: The rows that the chat template does not accept.
        reason: The reason why the chat template does not accept the first of these rows.
        rows_by_count: The number of rows for each number of tokens.
    """

    max_length: int
    own_template: bool
    over: Tally
    refused: Tally
    reason: str = ""
    rows_by_count: Counter[int] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return the lengths as JSON."""
        return {
            "max_length": self.max_length,
            "own_template": self.own_template,
            "over": self.over.as_dict(),
            "refused": self.refused.as_dict(),
            "reason": self.reason,
            "rows_by_count": list(self.rows_by_count.items()),
        }

    @classmethod
    def of_dict(cls, values: dict[str, Any]) -> Self:
        """Create the lengths from the result of :meth:`as_dict`."""
        return cls(
            **{
                **values,
                "over": Tally.of_dict(values["over"]),
                "refused": Tally.of_dict(values["refused"]),
                "rows_by_count": Counter(dict(values["rows_by_count"])),
            }
        )

    def findings(self) -> list[Finding]:
        """Return the findings about rows that training truncates or leaves out."""
        found = []
        if self.refused.count:
            found.append(
                Finding(
                    "template_refuses",
                    Severity.ERROR,
                    self.refused.count,
                    Words(
                        f"the base model's chat template refuses the row ({self.reason})",
                        f"基础模型的对话模板不接受该数据（{self.reason}）",
                    ),
                    Words("Training leaves these rows out.", "训练时会跳过这些数据。"),
                    examples=self.refused.examples,
                    rows=self.refused.rows,
                )
            )
        if self.over.count:
            found.append(
                Finding(
                    "over_length",
                    Severity.WARNING,
                    self.over.count,
                    Words(
                        f"longer than {self.max_length} tokens", f"超过 {self.max_length} 个 token"
                    ),
                    Words(
                        "Training truncates these rows, so the end of the answer is not learned.",
                        "训练时会被截断，回答的结尾不会被学习。",
                    ),
                    examples=self.over.examples,
                    rows=self.over.rows,
                )
            )
        return found

    def summary(self) -> dict[str, Any] | None:
        """Return statistics of all rows that have tokens; None if there are no such rows."""
        if not self.rows_by_count:
            return None
        counts, rows = np.array(sorted(self.rows_by_count.items())).T
        width = max(1, -(-int(counts[-1] + 1) // BINS))
        histogram = np.bincount(counts // width, weights=rows).astype(np.int64)
        running = np.cumsum(rows)
        total = int((counts * rows).sum())
        # The smallest counts that are not exceeded by half of the rows, and by 95 % of them.
        half, most = (
            int(counts[np.searchsorted(running, math.ceil((running[-1] - 1) * share) + 1)])
            for share in (0.5, 0.95)
        )
        return {
            "rows": int(running[-1]),
            "min": int(counts[0]),
            "mean": round(total / int(running[-1]), 2),
            "p50": half,
            "p95": most,
            "max": int(counts[-1]),
            "total": total,
            "max_length": self.max_length,
            "over_length": self.over.count,
            "template": "model" if self.own_template else "plain",
            "histogram": {"width": width, "counts": histogram.tolist()},
        }

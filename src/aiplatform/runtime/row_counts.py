"""Row counts collected while a dataset is encoded, with the numbers of some rows as examples."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiplatform.runtime.rows import Encoded

EXAMPLES = 5
"""Maximum number of example rows kept for each reason."""

REASONS = 10
"""Maximum number of reasons with examples. Some reasons quote the row, so each may be unique."""


@dataclass(kw_only=True)
class RowCounts(ABC):
    """Counts of total, truncated and dropped rows. Rows are numbered from 1."""

    total: int = 0
    truncated: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Number of dropped rows by reason."""
    truncated_lengths: list[int] = field(default_factory=list)
    """Number of tokens of each truncated row before it was cut."""
    truncated_examples: list[int] = field(default_factory=list)
    dropped_examples: dict[str, list[int]] = field(default_factory=dict)
    """Numbers of some dropped rows by reason."""

    @abstractmethod
    def sequences(self) -> "Sequence[tuple[Encoded, ...]]":
        """Return the token sequences of each kept row."""

    def drop(self, reason: str, number: int) -> None:
        """Count the row with this number as dropped."""
        self.dropped[reason] += 1
        if reason in self.dropped_examples or len(self.dropped_examples) < REASONS:
            examples = self.dropped_examples.setdefault(reason, [])
            if len(examples) < EXAMPLES:
                examples.append(number)

    def truncate(self, number: int, length: int) -> None:
        """Count the row with this number, which has ``length`` tokens, as truncated."""
        self.truncated += 1
        self.truncated_lengths.append(length)
        if len(self.truncated_examples) < EXAMPLES:
            self.truncated_examples.append(number)

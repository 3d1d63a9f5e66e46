"""Check for preference pairs whose sides are equal."""

import pyarrow as pa

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity
from aiplatform.data.quality.duplicates import DIGEST_BYTES, row_digests


class EqualSides(Check):
    """A check for rows whose chosen and rejected sides are the same."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pairs = {"chosen", "rejected"} <= set(context.required)
        self._tally = context.new_tally()

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        if not self._pairs:
            return
        chosen = row_digests(batch, ["chosen"])
        rejected = row_digests(batch, ["rejected"])
        same = [
            chosen[at : at + DIGEST_BYTES] == rejected[at : at + DIGEST_BYTES]
            for at in range(0, len(chosen), DIGEST_BYTES)
        ]
        self._tally.add_where(pa.array(same, pa.bool_()), batch, first_row)

    def findings(self) -> list[Finding]:
        if not self._tally.count:
            return []
        return [
            Finding(
                "same_sides",
                Severity.ERROR,
                self._tally.count,
                Words("the chosen and the rejected answer are the same", "优选回答与拒绝回答相同"),
                Words("There is no preference to learn.", "没有可学习的偏好。"),
                examples=self._tally.examples,
                rows=self._tally.rows,
            )
        ]

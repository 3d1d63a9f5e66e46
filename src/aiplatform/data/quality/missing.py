"""Check for missing values."""

import pyarrow as pa

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity, Tally
from aiplatform.data.quality.texts import absent

MAX_OTHER_COLUMNS = 20


class Missing(Check):
    """A check for nulls, NaN, and conversations without messages.

    A missing value is reported as an error in a column that the shape requires, and as information
    in a column that training does not read. Optional columns of the shape (``system``, ``input``)
    are not checked.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        optional = set(context.content) - set(context.required) if context.required else set()
        self._tallies = {
            name: context.new_tally() for name in context.schema.names if name not in optional
        }

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        for name, tally in self._tallies.items():
            tally.add_where(absent(batch.column(name)), batch, first_row)

    def findings(self) -> list[Finding]:
        required = [
            _required(name, self._tallies[name])
            for name in self.context.required
            if self._tallies[name].count
        ]
        others = [
            (name, tally)
            for name, tally in self._tallies.items()
            if tally.count and name not in self.context.required
        ]
        others.sort(key=lambda item: -item[1].count)
        return required + [_other(*item) for item in others[:MAX_OTHER_COLUMNS]]


def _required(name: str, tally: Tally) -> Finding:
    return Finding(
        "missing",
        Severity.ERROR,
        tally.count,
        Words(f"“{name}” is missing", f"缺少“{name}”"),
        Words("Training leaves these rows out.", "训练时会跳过这些数据。"),
        column=name,
        examples=tally.examples,
        rows=tally.rows,
    )


def _other(name: str, tally: Tally) -> Finding:
    return Finding(
        "missing_other",
        Severity.INFO,
        tally.count,
        Words(f"“{name}” has no value in some rows", f"部分数据中“{name}”没有值"),
        Words("None: training does not read this column.", "无影响：训练不使用该列。"),
        column=name,
        examples=tally.examples,
        rows=tally.rows,
    )

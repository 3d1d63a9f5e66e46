"""Check for columns with values of several types."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.canonical import json_columns
from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity, Tally

TYPES = {'"': "text", "{": "object", "[": "list", "t": "boolean", "f": "boolean"}
"""Types of JSON texts, by their first character; all others are numbers."""


class MixedTypes(Check):
    """A check for values of a different type than most values in their column.

    Only columns that are stored as JSON text can be mixed.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        names = json_columns(context.schema)
        self._tallies: dict[str, dict[str, Tally]] = {name: {} for name in names}

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        for name, tallies in self._tallies.items():
            firsts = pc.utf8_slice_codeunits(batch.column(name), 0, 1)
            kinds = [None if c is None else TYPES.get(c, "number") for c in firsts.to_pylist()]
            column = pa.array(kinds, pa.string())
            for kind in pc.unique(column.drop_null()).to_pylist():
                tally = tallies.setdefault(kind, self.context.new_tally())
                tally.add_where(pc.equal(column, kind), batch, first_row)

    def findings(self) -> list[Finding]:
        return [
            _finding(name, tallies, read=name in self.context.content)
            for name, tallies in self._tallies.items()
            if len(tallies) > 1
        ]


def _finding(name: str, tallies: dict[str, Tally], *, read: bool) -> Finding:
    counts = Counter({kind: tally.count for kind, tally in tallies.items()})
    (usual, _), *odd = counts.most_common()
    listed = ", ".join(f"{kind} ({count})" for kind, count in odd)
    examples = [example for kind, _ in odd for example in tallies[kind].examples]
    return Finding(
        "mixed_types",
        Severity.WARNING if read else Severity.INFO,
        sum(count for _, count in odd),
        Words(
            f"most values of “{name}” have the type {usual}, but some do not: {listed}",
            f"“{name}”的值大多为 {usual} 类型，部分却不是：{listed}",
        ),
        Words(
            "Templates and filters may support only one of these types.",
            "同一列出现多种类型，模板和过滤条件可能只适用于其中一种。",
        ),
        column=name,
        examples=sorted(examples, key=lambda example: example.row)[:5],
    )

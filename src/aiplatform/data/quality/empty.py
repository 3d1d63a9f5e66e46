"""Check for empty texts."""

import pyarrow as pa

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity, Tally
from aiplatform.data.quality.texts import blank, is_conversation, messages_of, rows_where


class Empty(Check):
    """A check for texts and messages that are empty or only white space.

    It examines the columns that the shape requires; in tables, all text columns.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        names = context.required or [
            name
            for name in context.schema.names
            if pa.types.is_string(context.schema.field(name).type)
        ]
        self._tallies = {name: context.new_tally() for name in names}

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        for name, tally in self._tallies.items():
            column = batch.column(name)
            if is_conversation(column):
                _, texts, rows = messages_of(column)
                mask = rows_where(blank(texts), rows, batch.num_rows)
            elif pa.types.is_string(column.type):
                mask = blank(column)
            else:
                continue
            tally.add_where(mask, batch, first_row)

    def findings(self) -> list[Finding]:
        return [self._finding(n, tally) for n, tally in self._tallies.items() if tally.count]

    def _finding(self, name: str, tally: Tally) -> Finding:
        if pa.types.is_list(self.context.schema.field(name).type):
            return Finding(
                "empty_message",
                Severity.WARNING,
                tally.count,
                Words(f"a message of “{name}” is empty", f"“{name}”中有空消息"),
                Words(
                    "The model learns to give empty answers, or to answer empty questions.",
                    "模型会学会给出空白回答，或回答空白提问。",
                ),
                column=name,
                examples=tally.examples,
                rows=tally.rows,
            )
        needed = name in self.context.required
        return Finding(
            "empty",
            Severity.ERROR if needed else Severity.INFO,
            tally.count,
            Words(f"“{name}” is empty or only white space", f"“{name}”为空或只有空白字符"),
            Words("There is nothing to learn from these rows.", "从这些数据中学不到任何内容。"),
            column=name,
            examples=tally.examples,
            rows=tally.rows,
        )

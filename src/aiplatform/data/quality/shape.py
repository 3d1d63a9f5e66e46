"""Check that the shape of the rows can be used to train a language model."""

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity
from aiplatform.data.quality.texts import is_conversation, messages_of, rows_where
from aiplatform.protocol.enums import DataShape


class Shape(Check):
    """A check for tables whose shape is unknown, and for messages without text (tool calls)."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tally = context.new_tally()

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        conversations = [
            batch.column(name)
            for name in self.context.content
            if is_conversation(batch.column(name))
        ]
        for column in conversations:
            _, texts, rows = messages_of(column)
            if texts.null_count:
                mask = rows_where(pc.is_null(texts), rows, batch.num_rows)
                self._tally.add_where(mask, batch, first_row)

    def findings(self) -> list[Finding]:
        found = []
        if self.context.shape is DataShape.TABLE:
            found.append(
                Finding(
                    "not_trainable",
                    Severity.ERROR,
                    self.context.rows,
                    Words(
                        "the columns do not form a shape that a language model can be trained on: "
                        + ", ".join(self.context.schema.names[:10]),
                        "这些列不构成任何可用于训练语言模型的数据形态："
                        + "、".join(self.context.schema.names[:10]),
                    ),
                    Words(
                        "Training refuses this dataset. Map its columns to known ones, such as "
                        "“prompt” and “completion”: datasets map DATASET COLUMN=prompt "
                        "OTHER=completion.",
                        "无法用该数据集训练。请将列映射为已知的列名，例如“prompt”和“completion”："
                        "datasets map 数据集 列名=prompt 列名=completion。",
                    ),
                )
            )
        if self._tally.count:
            found.append(
                Finding(
                    "message_without_text",
                    Severity.WARNING,
                    self._tally.count,
                    Words(
                        "a message has no text (a tool call, for example)",
                        "有消息没有文本内容（例如工具调用）",
                    ),
                    Words("Training leaves these rows out.", "训练时会跳过这些数据。"),
                    examples=self._tally.examples,
                    rows=self._tally.rows,
                )
            )
        return found

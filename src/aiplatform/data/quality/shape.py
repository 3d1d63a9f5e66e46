"""Check that the shape of the rows can be used to train a language model."""

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity
from aiplatform.data.quality.texts import is_conversation, messages_of, rows_where
from aiplatform.protocol.enums import DataShape


class Shape(Check):
    """A check for tables of no known shape, and messages without text (tool calls)."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tally = context.tally()

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
                        "the columns are of no shape that a language model is trained on: "
                        + ", ".join(self.context.schema.names[:10]),
                        "这些列不属于任何可用于语言模型训练的结构："
                        + "、".join(self.context.schema.names[:10]),
                    ),
                    Words(
                        "Training refuses this dataset. Say what its columns are, such as “prompt” "
                        "and “completion”: datasets map DATASET COLUMN=prompt OTHER=completion.",
                        "无法用该数据集训练。请说明各列的含义，例如“prompt”和“completion”："
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
                        "a message has no text, as tool calls do",
                        "有消息没有文本内容（例如工具调用）",
                    ),
                    Words("Training leaves these rows out.", "训练时会跳过这些数据。"),
                    examples=self._tally.examples,
                    rows=self._tally.rows,
                )
            )
        return found

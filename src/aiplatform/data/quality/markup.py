"""Check for HTML that remains in texts."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity, shorten
from aiplatform.data.quality.texts import fixable_texts

CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
TAG = re.compile(
    r"</?(?:a|b|br|center|div|em|font|h[1-6]|hr|i|iframe|img|li|ol|p|script|span|strong|style|sub|"
    r"sup|table|tbody|td|th|thead|tr|u|ul)(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)
ENTITY = re.compile(r"&(?:amp|apos|gt|hellip|laquo|ldquo|lt|mdash|nbsp|ndash|quot|raquo|rdquo|"
                    r"rsquo|#\d{2,6}|#x[0-9a-fA-F]{2,5});")  # fmt: skip


class Markup(Check):
    """A check for HTML tags and entities outside code."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tally = context.new_tally()

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        shown: dict[int, str] = {}
        for texts, rows, _ in fixable_texts(batch, self.context.content):
            suspect = pc.match_substring_regex(texts, "</?[A-Za-z]|&#?[A-Za-z0-9]+;")
            for index in pc.indices_nonzero(suspect.fill_null(False)).to_pylist():
                if found := find_markup(texts[index].as_py()):
                    shown.setdefault(rows[index].as_py(), found)
        for row in sorted(shown):
            self._tally.add(first_row + row, shown[row])

    def findings(self) -> list[Finding]:
        if not self._tally.count:
            return []
        return [
            Finding(
                "markup",
                Severity.WARNING,
                self._tally.count,
                Words("the text contains HTML tags or entities", "文本中残留 HTML 标签或实体"),
                Words("The model learns to write them.", "模型会学会输出这些标记。"),
                examples=self._tally.examples,
                rows=self._tally.rows,
            )
        ]


def find_markup(text: str) -> str | None:
    """Return the first tag or entity outside code, with its surroundings; None if there is none."""
    prose = CODE.sub(" ", text)
    match = TAG.search(prose) or ENTITY.search(prose)
    if match is None:
        return None
    return shorten(prose[max(0, match.start() - 40) : match.end() + 40])

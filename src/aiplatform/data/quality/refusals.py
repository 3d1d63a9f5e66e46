"""Check for answers that refuse the request, or that begin with "As an AI model"."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity, shorten
from aiplatform.data.quality.texts import answers_of

OPENINGS = 200
"""Number of characters at the beginning of an answer that are searched."""

REFUSAL = re.compile(
    r"(?:i['’]?m|i am)\s+(?:very\s+|so\s+|really\s+)?sorry,?\s+(?:but\s+)?i\s+"
    r"(?:can['’]?t|cannot|can not|am unable|['’]?m unable|won['’]?t|am not able)"
    r"|^\W{0,3}(?:sorry,?\s+(?:but\s+)?)?i\s+(?:can['’]?t|cannot|can not|won['’]?t|am unable to|"
    r"am not able to)\s+(?:\w+\s+)?(?:help|assist|provide|fulfil|comply|answer|discuss|engage|"
    r"create|generate|write|support|continue)"
    r"|\bas an? (?:ai|artificial intelligence|large language|language)(?: language)?(?: model|"
    r" assistant)?,?\s+i\b"
    r"|\bi['’]?m just an ai\b|\bi (?:must|have to) (?:respectfully )?decline\b"
    r"|(?:抱歉|对不起|不好意思|很遗憾)[^。！？\n]{0,15}(?:我|本(?:助手|模型))?(?:无法|不能|不可以|没有办法|没法)"
    r"|作为(?:一个|一名|一款)?(?:人工智能|AI|ＡＩ|语言模型|大(?:型)?语言模型)[^。！？\n]{0,20}(?:无法|不能|没有)"
    r"|我(?:无法|不能)(?:为你|为您|向你|向您)?(?:提供|回答|协助|帮助|满足)",
    re.IGNORECASE,
)
PREFILTER = (
    r"(?i)sorry|can['’]?t|cannot|can not|won['’]?t|unable|not able|\bas an?\b|just an ai|decline|"
    r"抱歉|对不起|不好意思|遗憾|作为|无法|不能"
)


class Refusals(Check):
    """A check for answers that begin like a refusal.

    A few refusals are useful, but many teach the model to refuse.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tally = context.new_tally()

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        shown: dict[int, str] = {}
        for answers, rows in answers_of(batch, self.context.content):
            heads = pc.utf8_slice_codeunits(answers, 0, OPENINGS)
            suspect = pc.match_substring_regex(heads, PREFILTER).fill_null(False)
            for index in pc.indices_nonzero(suspect).to_pylist():
                head = heads[index].as_py()
                if REFUSAL.search(head):
                    shown.setdefault(rows[index].as_py(), head)
        for row in sorted(shown):
            self._tally.add(first_row + row, shorten(shown[row]))

    def findings(self) -> list[Finding]:
        if not self._tally.count:
            return []
        return [
            Finding(
                "refusals",
                Severity.INFO,
                self._tally.count,
                Words("the answer refuses the request", "回答拒绝了请求"),
                Words(
                    "The model learns to refuse; keep only the refusals that you want.",
                    "模型会学会拒绝；请只保留确实需要的拒绝回答。",
                ),
                examples=self._tally.examples,
                rows=self._tally.rows,
            )
        ]

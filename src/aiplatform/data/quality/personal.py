"""Check for personal data and secrets, which a model must not learn to recite."""

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity
from aiplatform.data.quality.personal_patterns import ASSIGNED, KINDS, TELLING, mask, spans
from aiplatform.data.quality.texts import fixable_texts

ASSIGNED_NUMBER = KINDS.index(ASSIGNED)

AROUND = 40
"""Number of characters shown on either side of a match."""

WORDS = {
    "secret": Words("a key or password", "密钥或密码"),
    "email": Words("an e-mail address", "电子邮件地址"),
    "china_id": Words("a Chinese identity number", "中国居民身份证号码"),
    "bank_card": Words("a bank card number", "银行卡号"),
    "phone": Words("a telephone number", "电话号码"),
    "ip_address": Words("a public IP address", "公网 IP 地址"),
}
EFFECT = Words(
    "The model may reveal it to anyone who asks, and using it may be against the law.",
    "模型可能向任何提问者泄露这些内容，且使用这些内容可能违法。",
)


class Personal(Check):
    """A check for several kinds of personal data, which its examples mask."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tallies = {kind.name: context.new_tally() for kind in KINDS}

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        found: dict[str, dict[int, str]] = {name: {} for name in self._tallies}
        for texts, rows, keys in fixable_texts(batch, self.context.content):
            # Each prefilter is one fast search in Arrow, and most texts match none of them.
            kinds_of: dict[int, list[int]] = {}
            for number, kind in enumerate(KINDS):
                hit = pc.match_substring_regex(texts, kind.prefilter)
                for index in pc.indices_nonzero(hit.fill_null(False)).to_pylist():
                    kinds_of.setdefault(index, []).append(number)
            for index, key in enumerate(keys):
                if TELLING.search(key):
                    kinds_of[index] = sorted({*kinds_of.get(index, ()), ASSIGNED_NUMBER})
            for index, numbers in kinds_of.items():
                text = texts[index].as_py()
                key = keys[index] if keys else ""
                for span in spans(text, tuple(KINDS[number] for number in numbers), key):
                    before = text[max(0, span.start - AROUND) : span.start]
                    after = text[span.end : span.end + AROUND]
                    shown = f"{mask(before)}[{span.kind.upper()}]{mask(after)}"
                    found[span.kind].setdefault(rows[index].as_py(), shown)
        for name, by_row in found.items():
            for row in sorted(by_row):
                self._tallies[name].add(first_row + row, by_row[row])

    def findings(self) -> list[Finding]:
        return [
            Finding(
                f"personal_{name}",
                Severity.ERROR if name == "secret" else Severity.WARNING,
                tally.count,
                Words(f"contains {WORDS[name].en}", f"包含{WORDS[name].zh}"),
                EFFECT,
                examples=tally.examples,
                rows=tally.rows,
            )
            for name, tally in self._tallies.items()
            if tally.count
        ]

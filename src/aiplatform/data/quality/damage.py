"""Text that was decoded wrongly on its way here."""

import codecs
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity, shorten
from aiplatform.data.quality.texts import mendable_texts

GATE = "[\u0080-\u00ff\u0152-\u0192\u02c6\u02dc\u2013-\u2122\u4e00-\u9fff\ue000-\uf8ff\ufffd]"
"""Damage always leaves something of this; plain ASCII has none."""

CERTAIN = re.compile("\ufffd|[\u0080-\u009f]|锟斤拷|(?:烫烫|屯屯){2}")
"""Replacement characters, C1 controls, and what GBK makes of both and of unset memory."""

MARKS = re.compile("[" + "".join(MOJIBAKE_CATEGORIES.values()) + "ÂÃŒœàВГРСвāÎÐØÙΒΓΞΟβ×√≈‚]+")
"""Every sign of mojibake that ftfy knows has one of these."""

AROUND = 4
"""How many characters on either side of a mark may belong to a sign."""

FOREIGN = re.compile(r"[^\x00-\x7f]{3,}")


class Damage(Check):
    """Mojibake: UTF-8 read as Latin-1, Windows-1252 or GBK, and characters that were lost."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tally = context.tally()

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        shown: dict[int, str] = {}
        for texts, rows, _ in mendable_texts(batch, self.context.content):
            for index, text in damaged_of(texts):
                shown.setdefault(rows[index].as_py(), text)
        for row in sorted(shown):
            self._tally.add(first_row + row, shorten(shown[row]))

    def findings(self) -> list[Finding]:
        if not self._tally.count:
            return []
        return [
            Finding(
                "damaged_text",
                Severity.WARNING,
                self._tally.count,
                Words("text is damaged: it was read in a wrong encoding", "文本因编码错误出现乱码"),
                Words("The model learns to write such characters.", "模型会学会输出这样的乱码。"),
                examples=self._tally.examples,
                rows=self._tally.rows,
            )
        ]


def is_damaged(text: str) -> bool:
    """Whether ``text`` shows signs of a wrong decoding."""
    return bool(CERTAIN.search(text)) or is_doubtful_damage(text, marked=True)


def damaged_of(texts: pa.Array) -> Iterator[tuple[int, str]]:
    """The texts for which :func:`is_damaged` holds, with their places.

    Arrow searches many times as fast as Python, so Python is asked only what is left.
    """
    suspect = pc.indices_nonzero(pc.match_substring_regex(texts, GATE).fill_null(False))
    found = texts.take(suspect)
    certain = pc.match_substring_regex(found, CERTAIN.pattern).to_pylist()
    marked = pc.match_substring_regex(found, MARKS.pattern).to_pylist()
    for place, text, is_certain, is_marked in zip(
        suspect.to_pylist(), found.to_pylist(), certain, marked, strict=True
    ):
        if is_certain or is_doubtful_damage(text, marked=is_marked):
            yield place, text


def is_doubtful_damage(text: str, *, marked: bool) -> bool:
    """Whether ``text`` shows signs that take a closer look; without a mark, fewer do."""
    return (marked and any(map(is_bad, around_marks(text)))) or any(
        map(was_utf8, FOREIGN.findall(text))
    )


def around_marks(text: str) -> Iterator[str]:
    """The parts of ``text`` that can show signs of mojibake.

    Most of a text can't, and ftfy takes long to say so.
    """
    begin, end = 0, -1
    for mark in MARKS.finditer(text):
        # Parts that touch are one: what begins a part must not look like the text's beginning.
        if mark.start() - AROUND > end:
            if end >= 0:
                yield text[begin:end]
            begin = max(0, mark.start() - AROUND)
        end = mark.end() + AROUND
    if end >= 0:
        yield text[begin:end]


def was_utf8(run: str) -> bool:
    """Whether a run of characters beyond ASCII is UTF-8 that was read as GBK.

    Three bytes of UTF-8 become one and a half characters, so the end may be cut. Real Chinese of
    three characters or more is hardly ever UTF-8 when written as GBK.
    """
    try:
        # The beginning tells most of the time, in a fraction of the time.
        codecs.utf_8_decode(run[:4].encode("gb18030"), "strict", False)
    except UnicodeError:
        return False
    return was_utf8_to_its_end(run)


def was_utf8_to_its_end(run: str) -> bool:
    """:func:`was_utf8`, of which it asks what the beginning leaves open."""
    try:
        data = run.encode("gb18030")
    except UnicodeEncodeError:
        return False
    for end in (len(data), len(data) - 1, len(data) - 2):
        try:
            restored = data[:end].decode("utf-8")
        except UnicodeDecodeError:
            continue
        chinese = sum("\u3000" <= c <= "\u9fff" or "\uff00" <= c <= "\uffef" for c in restored)
        return len(restored) >= 2 and chinese == len(restored)
    return False

"""Check for text that was decoded with the wrong encoding (mojibake)."""

import codecs
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity, shorten
from aiplatform.data.quality.texts import fixable_texts

PREFILTER = "[\u0080-\u00ff\u0152-\u0192\u02c6\u02dc\u2013-\u2122\u4e00-\u9fff\ue000-\uf8ff\ufffd]"
"""Characters of which every damaged text contains at least one. Plain ASCII has none."""

CERTAIN = re.compile("\ufffd|[\u0080-\u009f]|锟斤拷|(?:烫烫|屯屯){2}")
"""Certain signs of damage.

Replacement characters, C1 controls, and the Chinese characters that GBK makes of replacement
characters and of uninitialised memory.
"""

MARKS = re.compile("[" + "".join(MOJIBAKE_CATEGORIES.values()) + "ÂÃŒœàВГРСвāÎÐØÙΒΓΞΟβ×√≈‚]+")
"""Characters of which every pattern of mojibake known to ftfy contains at least one."""

AROUND = 4
"""Largest number of characters on either side of a mark that may belong to a pattern."""

FOREIGN = re.compile(r"[^\x00-\x7f]{3,}")


class Damage(Check):
    """A check for mojibake: UTF-8 read as Latin-1, Windows-1252 or GBK, and lost characters."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tally = context.new_tally()

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        shown: dict[int, str] = {}
        for texts, rows, _ in fixable_texts(batch, self.context.content):
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
                Words(
                    "the text is damaged: it was decoded with a wrong encoding",
                    "文本因解码时使用了错误的编码而出现乱码",
                ),
                Words("The model learns to write such characters.", "模型会学会输出这样的乱码。"),
                examples=self._tally.examples,
                rows=self._tally.rows,
            )
        ]


def is_damaged(text: str) -> bool:
    """Return True if ``text`` shows signs of having been decoded wrongly."""
    return bool(CERTAIN.search(text)) or is_doubtful_damage(text, marked=True)


def damaged_of(texts: pa.Array) -> Iterator[tuple[int, str]]:
    """Yield the damaged texts (see :func:`is_damaged`), each with its index.

    Arrow's search is many times faster than Python's, so Python code sees only the remaining
    candidates.
    """
    suspect = pc.indices_nonzero(pc.match_substring_regex(texts, PREFILTER).fill_null(False))
    found = texts.take(suspect)
    certain = pc.match_substring_regex(found, CERTAIN.pattern).to_pylist()
    marked = pc.match_substring_regex(found, MARKS.pattern).to_pylist()
    for position, text, is_certain, is_marked in zip(
        suspect.to_pylist(), found.to_pylist(), certain, marked, strict=True
    ):
        if is_certain or is_doubtful_damage(text, marked=is_marked):
            yield position, text


def is_doubtful_damage(text: str, *, marked: bool) -> bool:
    """Return True if slower tests find damage in ``text``, which need not show certain signs.

    Args:
        text: The text.
        marked: True if the text contains one of :data:`MARKS`.
    """
    return (marked and any(map(is_bad, around_marks(text)))) or any(
        map(was_utf8, FOREIGN.findall(text))
    )


def around_marks(text: str) -> Iterator[str]:
    """Yield the parts of ``text`` that can contain mojibake.

    Only these are passed to ftfy, because it is slow.
    """
    begin, end = 0, -1
    for mark in MARKS.finditer(text):
        # Adjoining parts are joined, because ftfy treats the beginning of a text differently.
        if mark.start() - AROUND > end:
            if end >= 0:
                yield text[begin:end]
            begin = max(0, mark.start() - AROUND)
        end = mark.end() + AROUND
    if end >= 0:
        yield text[begin:end]


def was_utf8(run: str) -> bool:
    """Return True if a run of non-ASCII characters is UTF-8 that was read as GBK.

    Three bytes of UTF-8 become one and a half characters, so the last one may be incomplete. Real
    Chinese of three characters or more, encoded as GBK, is hardly ever valid UTF-8.
    """
    try:
        # Usually, the first characters are enough to rule it out, which is much faster.
        codecs.utf_8_decode(run[:4].encode("gb18030"), "strict", False)
    except UnicodeError:
        return False
    return was_utf8_to_its_end(run)


def was_utf8_to_its_end(run: str) -> bool:
    """Return the result of :func:`was_utf8` for the whole run, not only for its beginning."""
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

"""Parse JSON objects, one per row, into columns; integers of any size remain exact.

orjson does most of the work. It rounds integers beyond 64 bits, so texts with that many digits are
read by the standard library. The standard library also rereads what orjson refuses, for two
reasons: its error messages are better, and it accepts ``NaN``, ``Infinity`` and ``-Infinity``,
which Python and pandas write for missing numbers. Numbers that are too large for double precision
(``1e999``) become infinity, as in every IEEE reader. If a key is repeated, its last value counts.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from aiplatform.data.chunk import Chunk, is_name
from aiplatform.data.errors import MalformedData, Words, type_words
from aiplatform.data.limits import MAX_CELLS, MAX_COLUMN_NAME, MAX_COLUMNS, MAX_DEPTH
from aiplatform.data.quarantine import Quarantine, decode_escaped

BOM = b"\xef\xbb\xbf"
DIGITS_TO_ZERO = bytes(0x30 if 0x30 <= byte <= 0x39 else byte for byte in range(256))
LONG_NUMBER = b"0" * 19
"""Shortest run of digits that might not fit into 64 bits, with all digits replaced by zeros."""

REASONS_ZH = {
    "Expecting value": "此处应有值",
    "Expecting property name enclosed in double quotes": "此处应为双引号括起的字段名",
    "Expecting ':' delimiter": "此处应为“:”",
    "Expecting ',' delimiter": "此处应为“,”",
    "Unterminated string starting at": "字符串没有结束",
    "Invalid control character at": "字符串中有未转义的控制字符",
    "Invalid \\escape": "无效的反斜杠转义",
    "Invalid \\uXXXX escape": "无效的 \\uXXXX 转义",
    "Extra data": "JSON 结束后还有多余内容",
    "Illegal trailing comma before end of object": "对象末尾有多余的逗号",
    "Illegal trailing comma before end of array": "数组末尾有多余的逗号",
}


def parse(
    texts: Sequence[bytes],
    lines: Sequence[int],
    offsets: Sequence[int] | None = None,
    quarantine: Quarantine | None = None,
) -> Iterator[Chunk]:
    """Yield the rows of JSON texts as chunks, with columns in order of first appearance.

    Args:
        texts: Texts of one JSON value each.
        lines: The line at which each begins.
        offsets: The byte at which each begins, for encoding errors.
        quarantine: Receives texts that are not valid rows; if None, they are errors.

    Raises:
        MalformedData: a text is not a single JSON object.
    """
    rows = _parse_quickly(texts)
    if rows is None or set(map(type, rows)) - {dict}:
        rows = []
        kept: list[int] = []
        for index, (text, line) in enumerate(zip(texts, lines, strict=True)):
            try:
                rows.append(_object(text, line, offsets[index] if offsets else None))
            except MalformedData as error:
                if quarantine is None:
                    raise
                quarantine.add(error, decode_escaped(text))
            else:
                kept.append(index)
        texts, lines = [texts[index] for index in kept], [lines[index] for index in kept]
    yield from _columns(rows, lines, None if quarantine is None else texts, quarantine)


def _object(text: bytes, line: int, offset: int | None) -> dict[str, Any]:
    value = _parse_carefully(text, line, offset)
    if type(value) is not dict:
        raise MalformedData("json_not_object", line=line, found=type_words(value))
    return value


def _parse_quickly(texts: Sequence[bytes]) -> list[Any] | None:
    if any(LONG_NUMBER in text.translate(DIGITS_TO_ZERO) for text in texts):
        return None
    try:
        return [orjson.loads(text) for text in texts]
    except orjson.JSONDecodeError:
        return None


def _parse_carefully(text: bytes, line: int, offset: int | None) -> Any:
    text = text.removeprefix(BOM)  # Occurs where files with byte order marks were concatenated.
    if LONG_NUMBER not in text.translate(DIGITS_TO_ZERO):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # The standard library below gives a better error message.
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise MalformedData(
            "encoding_invalid",
            line=line + text.count(b"\n", 0, error.start),
            byte=None if offset is None else offset + error.start,
            encoding="UTF-8",
            value=text[error.start],
        ) from error
    try:
        value = json.loads(decoded)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise _invalid(error, line) from error
    except RecursionError as error:
        raise MalformedData("json_too_deep", line=line, limit=MAX_DEPTH) from error
    except UnicodeEncodeError as error:
        raise MalformedData("json_surrogate", line=line) from error
    except ValueError as error:  # Python refuses integers of more than 4,300 digits.
        raise _number(line) from error
    return value


def _invalid(error: json.JSONDecodeError, line: int) -> MalformedData:
    reason = error.msg.removesuffix(" at") if error.msg.startswith("Unterm") else error.msg
    english = reason[0].lower() + reason[1:]
    return MalformedData(
        "json_invalid",
        line=line + error.lineno - 1,
        column=error.colno,
        detail=Words(english, REASONS_ZH.get(error.msg, english)),
    )


def _number(line: int) -> MalformedData:
    detail = Words("a number with thousands of digits", "数字有数千位")
    return MalformedData("json_invalid", line=line, column=1, detail=detail)


def _columns(
    rows: list[dict[str, Any]],
    lines: Sequence[int],
    raws: Sequence[bytes] | None,
    quarantine: Quarantine | None,
) -> Iterator[Chunk]:
    if not rows:
        return
    columns = _columns_of_alike(rows)
    if columns is None:
        # dict.fromkeys keeps the order in which the keys first appear.
        keys = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    else:
        keys = list(columns)
    error = _column_name_error(keys, rows, lines)
    if error is not None:
        named = [index for index, row in enumerate(rows) if all(map(is_name, row))]
        if quarantine is None or raws is None or len(named) == len(rows):
            raise error
        for index in sorted(set(range(len(rows))) - set(named)):
            odd = MalformedData("column_name", line=lines[index], limit=MAX_COLUMN_NAME)
            quarantine.add(odd, decode_escaped(raws[index]))
        rows, lines = [rows[index] for index in named], [lines[index] for index in named]
        yield from _columns(rows, lines, [raws[index] for index in named], quarantine)
        return
    if columns is None:
        if len(keys) * len(rows) > MAX_CELLS:
            step = max(1, MAX_CELLS // len(keys))
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                some = None if raws is None else raws[part]
                yield from _columns(rows[part], lines[part], some, quarantine)
            return
        columns = {key: [row.get(key) for row in rows] for key in keys}
    yield Chunk(
        columns,
        len(rows),
        lines,
        raw=None if raws is None else lambda row: decode_escaped(raws[row]),
    )


def _columns_of_alike(rows: list[dict[str, Any]]) -> dict[str, list[Any]] | None:
    """Return the columns, in a single pass, if all rows have the same keys; otherwise None."""
    keys = list(rows[0])
    if len(keys) > MAX_COLUMNS or not all(map(len(keys).__eq__, map(len, rows))):
        return None
    try:
        return {key: [row[key] for row in rows] for key in keys}
    except KeyError:
        return None


def _column_name_error(
    keys: list[str], rows: list[dict[str, Any]], lines: Sequence[int]
) -> MalformedData | None:
    """Return the error for invalid or too many column names, with its line; otherwise None."""
    if len(keys) > MAX_COLUMNS:
        seen: set[str] = set()
        for row, line in zip(rows, lines, strict=True):
            seen.update(row)
            if len(seen) > MAX_COLUMNS:
                return MalformedData(
                    "columns_too_many", line=line, found=len(seen), limit=MAX_COLUMNS
                )
    bad = next((key for key in keys if not is_name(key)), None)
    if bad is None:
        return None
    line = next(line for row, line in zip(rows, lines, strict=True) if bad in row)
    return MalformedData("column_name", line=line, limit=MAX_COLUMN_NAME)

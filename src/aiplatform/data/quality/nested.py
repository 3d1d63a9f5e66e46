"""Find and change the texts inside nested values, which are stored as JSON text.

For checks and fixes, the texts of such a column are all strings in its values, but not its keys and
numbers.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from aiplatform.data.json_text import json_text, parse_json_text

TextFix = Callable[[str, str], str]
"""Function that changes a text; its second argument is the text's key in an object, or empty."""


def strings_of(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string in a parsed value, preceded by its key or an empty text."""
    match value:
        case str():
            yield key, value
        case list():
            for item in value:
                yield from strings_of(item)
        case dict():
            for name, item in value.items():
                yield from strings_of(item, name)


def nested_texts(column: pa.Array) -> tuple[pa.Array, pa.Array, list[str]]:
    """Return all strings in a column of JSON text, the row of each, and its key."""
    keys: list[str] = []
    texts: list[str] = []
    rows: list[int] = []
    for row, value in enumerate(column.to_pylist()):
        # Without a quote there is no string. This avoids parsing most mixed columns, whose values
        # are mainly numbers.
        if value is None or '"' not in value:
            continue
        for key, text in strings_of(parse_json_text(value)):
            keys.append(key)
            texts.append(text)
            rows.append(row)
    return pa.array(texts, pa.string()), pa.array(rows, pa.int64()), keys


def fix_nested_texts(column: pa.Array, text_fix: TextFix) -> pa.Array:
    """Apply ``text_fix`` to all strings in a column of JSON text.

    A value in which no string changes keeps its exact text.
    """
    return pa.array(
        [v if v is None or '"' not in v else _fixed_json(v, text_fix) for v in column.to_pylist()],
        pa.string(),
    )


def _fixed_json(text: str, text_fix: TextFix) -> str:
    value = parse_json_text(text)
    fixed = _fixed(value, "", text_fix)
    return text if fixed == value else json_text(fixed)


def _fixed(value: Any, key: str, text_fix: TextFix) -> Any:
    match value:
        case str():
            return text_fix(value, key)
        case list():
            return [_fixed(item, "", text_fix) for item in value]
        case dict():
            return {name: _fixed(item, name, text_fix) for name, item in value.items()}
    return value

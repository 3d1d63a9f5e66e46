"""Texts inside nested values, which columns of JSON text hold.

What counts as a text of such a column, for the checks that find and for the fixes that mend, is
each string in its values; keys and numbers are none.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from aiplatform.data.json_text import json_text, parse_json_text

Mend = Callable[[str, str], str]
"""What a text becomes. The other argument is the key that it has in an object, or nothing."""


def strings_of(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a parsed value, and the key that it has in an object, or nothing."""
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
    """All strings in a column of JSON text, the row that each is in, and their keys."""
    keys: list[str] = []
    texts: list[str] = []
    rows: list[int] = []
    for row, value in enumerate(column.to_pylist()):
        # Without a quote there is no string: most values of columns of mixed types are numbers.
        if value is None or '"' not in value:
            continue
        for key, text in strings_of(parse_json_text(value)):
            keys.append(key)
            texts.append(text)
            rows.append(row)
    return pa.array(texts, pa.string()), pa.array(rows, pa.int64()), keys


def mended_nested(column: pa.Array, mend: Mend) -> pa.Array:
    """A column of JSON text with its strings mended; where none changes, a value stays as it is."""
    return pa.array(
        [v if v is None or '"' not in v else _mended_json(v, mend) for v in column.to_pylist()],
        pa.string(),
    )


def _mended_json(text: str, mend: Mend) -> str:
    value = parse_json_text(text)
    mended = _mended(value, "", mend)
    return text if mended == value else json_text(mended)


def _mended(value: Any, key: str, mend: Mend) -> Any:
    match value:
        case str():
            return mend(value, key)
        case list():
            return [_mended(item, "", mend) for item in value]
        case dict():
            return {name: _mended(item, name, mend) for name, item in value.items()}
    return value

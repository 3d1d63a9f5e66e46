"""Decode the JSON text of canonical Parquet files that are uploaded again."""

import json
from dataclasses import replace
from typing import Any

import pyarrow as pa

from aiplatform.data.canonical import json_columns, metadata_of
from aiplatform.data.chunk import Chunk, Values
from aiplatform.data.column_kinds import has_extra
from aiplatform.data.conversations import EXTRA


class CanonicalJson:
    """The columns of JSON text in a Parquet file that the platform wrote, according to its schema.

    The file may have been changed since, or only claim to be canonical. Therefore a value that is
    not valid JSON is left unchanged.
    """

    def __init__(self, schema: pa.Schema) -> None:
        try:
            ours = "version" in metadata_of(schema)
            self._json = json_columns(schema) if ours else []
        except ValueError:
            ours, self._json = False, []
        self._extras = [f.name for f in schema if has_extra(f.type)] if ours else []

    def restore(self, chunk: Chunk) -> Chunk:
        """Return a chunk in which JSON text is replaced by nested values."""
        if not self._json and not self._extras:
            return chunk
        columns = dict(chunk.columns)
        for name in self._json:
            columns[name] = [_parsed(value) for value in _plain(columns[name])]
        for name in self._extras:
            columns[name] = [_with_extras(value) for value in _plain(columns[name])]
        return replace(chunk, columns=columns)


def _plain(values: Values) -> list[Any]:
    return values.to_pylist() if isinstance(values, pa.Array) else values


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return value


def _no_json(text: str) -> Any:
    raise ValueError(text)


def _with_extras(messages: Any) -> Any:
    if not isinstance(messages, list):
        return messages
    return [_merged(message) if isinstance(message, dict) else message for message in messages]


def _merged(message: dict[str, Any]) -> dict[str, Any]:
    extra = _parsed(message.get(EXTRA))
    rest = {key: value for key, value in message.items() if key != EXTRA}
    if extra is None:
        return rest
    return {**rest, **extra} if isinstance(extra, dict) else message

"""How the rows of one file become the columns of its canonical Parquet, as far as they are known.

The plan begins with the first chunk and widens with every chunk that does not fit. A writer that is
under way then stops, the plan learns from the rest of the file, and the file is read once more: two
readings at most, whatever comes when.
"""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from aiplatform.data.chunk import Chunk, Values
from aiplatform.data.conversations import CHAT
from aiplatform.data.conversations import build as build_conversations
from aiplatform.data.errors import MalformedData, type_words
from aiplatform.data.json_text import NoJsonFormError, json_text
from aiplatform.data.kinds import Kind, build, has_extra, json_names, kind_of, unify
from aiplatform.data.limits import MAX_COLUMNS, MAX_DEPTH
from aiplatform.data.quarantine import Quarantine
from aiplatform.data.shapes import recognise
from aiplatform.protocol.enums import DataFormat

VERSION = "2"
"""Of the canonical layout: raised when equal rows would give other bytes."""


class Plan:
    """Shape and columns of a dataset.

    Args:
        first: its first rows, which tell the shape.
        mapped: columns, and what somebody says they are.

    Raises:
        MalformedData: they can't be mapped so.
    """

    def __init__(self, first: Chunk, mapped: Mapping[str, str] | None = None) -> None:
        self.recognition = recognise(first.columns, mapped)
        self.kinds: dict[str, Kind] = {}

    def conform(self, chunk: Chunk) -> dict[str, Values]:
        """The columns of a chunk under their canonical names, as the shape has them.

        Raises:
            MalformedData: a value is not what the shape says, with its line.
        """
        known = self.recognition
        columns: dict[str, Values] = {}
        for name, values in chunk.columns.items():
            canonical = known.renames.get(name, name)
            taken = canonical in chunk.columns and canonical not in known.renames
            if canonical in columns or (canonical != name and taken):
                raise MalformedData("column_twice", name=canonical)
            if canonical in known.conversations:
                spelling = known.conversations[canonical]
                columns[canonical] = build_conversations(chunk, name, spelling)
                continue
            if canonical in known.texts:
                _require_text(chunk, name, values)
            columns[canonical] = values
        return columns

    def sifted(self, chunk: Chunk, aside: Quarantine | None) -> tuple[Chunk, dict[str, Values]]:
        """What is left of a chunk without its bad rows, and its columns as :meth:`conform` has
        them.

        Raises:
            MalformedData: for a bad row when nothing takes it, and for what is no single row's
                fault.
        """
        try:
            columns = self.conform(chunk)
            if aside is not None:
                self._check_json(chunk, columns)
        except MalformedData as fault:
            if aside is None or not fault.is_placed:
                raise
        else:
            return chunk, columns
        kept: list[int] = []
        for row in range(chunk.rows):
            one = chunk.only([row])
            try:
                self._check_json(one, self.conform(one))
            except MalformedData as fault:
                aside.add(fault, "" if chunk.raw is None else chunk.raw(row))
            else:
                kept.append(row)
        left = chunk.only(kept)
        return left, self.conform(left)

    def _check_json(self, chunk: Chunk, columns: dict[str, Values]) -> None:
        """See that nested values have a JSON form, which else shows when they are written."""
        for name, values in columns.items():
            if name in self.recognition.conversations or kind_of(values) is not Kind.JSON:
                continue
            try:
                build(values, Kind.JSON)
            except NoJsonFormError:
                raise _first_unencodable(chunk, name, values) from None

    def learn(self, columns: dict[str, Values]) -> bool:
        """Widen the kinds to hold ``columns``; True if that changes the stored types.

        Raises:
            MalformedData: there are too many columns by now.
        """
        before = {name: kind.arrow for name, kind in self.kinds.items()}
        json_before = json_names(self.kinds)
        for name, values in columns.items():
            kind = self._kind(name, values)
            self.kinds[name] = unify(self.kinds.get(name, Kind.NULL), kind)
        if len(self.kinds) > MAX_COLUMNS:
            raise MalformedData("columns_too_many", found=len(self.kinds), limit=MAX_COLUMNS)
        after = {name: kind.arrow for name, kind in self.kinds.items()}
        return after != before or json_names(self.kinds) != json_before

    def _kind(self, name: str, values: Values) -> Kind:
        spelling = self.recognition.conversations.get(name)
        if spelling is None:
            return kind_of(values)
        assert isinstance(values, pa.Array)  # conform() made it
        if spelling is CHAT:
            return Kind.CHAT_EXTRA if has_extra(values.type) else Kind.CHAT
        return Kind.SHAREGPT_EXTRA if has_extra(values.type) else Kind.SHAREGPT

    def batch(self, chunk: Chunk, columns: dict[str, Values], schema: pa.Schema) -> pa.RecordBatch:
        """The chunk as a batch of the canonical schema.

        Raises:
            MalformedData: a nested value has no JSON form, with its line.
        """
        arrays = []
        for name, kind in self.kinds.items():
            values = columns.get(name)
            if values is None:
                arrays.append(pa.nulls(chunk.rows, kind.arrow))
                continue
            try:
                arrays.append(build(values, kind))
            except NoJsonFormError:
                raise _first_unencodable(chunk, name, values) from None
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def schema(self, origin: DataFormat) -> pa.Schema:
        """The canonical schema; its metadata says all that a reader must know."""
        metadata = {
            "aiplatform.format": str(origin),
            "aiplatform.json": json.dumps(json_names(self.kinds), ensure_ascii=False),
            "aiplatform.shape": str(self.recognition.shape),
            "aiplatform.version": VERSION,
        }
        return pa.schema(
            [(name, kind.arrow) for name, kind in self.kinds.items()], metadata=metadata
        )

    def hint(self) -> pa.Schema | None:
        """The columns under their names in the file, for a reader that can use them.

        None when some column can't be read without a look at each value.
        """
        original = {new: old for old, new in self.recognition.renames.items()}
        slow = {Kind.JSON, Kind.CHAT_EXTRA, Kind.SHAREGPT_EXTRA}
        if slow & set(self.kinds.values()):
            return None
        return pa.schema([(original.get(n, n), kind.arrow) for n, kind in self.kinds.items()])

    def described(self) -> list[dict[str, Any]]:
        """The columns by name and type, as users see them."""
        return [{"name": name, "type": kind.label} for name, kind in self.kinds.items()]


def _require_text(chunk: Chunk, name: str, values: Values) -> None:
    if isinstance(values, pa.Array):
        if pa.types.is_string(values.type) or values.null_count == len(values):
            return
        values = values.to_pylist()
    if set(map(type, values)) <= {str, type(None)}:
        return
    for row, value in enumerate(values):
        if value is not None and type(value) is not str:
            raise chunk.fault(row, "text_expected", column=name, found=type_words(value))


def _first_unencodable(chunk: Chunk, name: str, values: Values) -> MalformedData:
    plain = values.to_pylist() if isinstance(values, pa.Array) else values
    for row, value in enumerate(plain):
        try:
            json_text(value)
        except NoJsonFormError as error:
            return chunk.fault(row, error.reason, column=name, limit=MAX_DEPTH, found=error.found)
    raise AssertionError(name)

"""The plan that maps the rows of a file to the columns of its canonical Parquet file.

The plan begins with the first chunk, and is widened by every chunk that does not fit. If that
changes a stored type, the writer stops, the plan learns from the rest of the file and is frozen,
and the file is read a second time. Therefore a file is read at most twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from aiplatform.data.chunk import Chunk, Values
from aiplatform.data.column_kinds import (
    Kind,
    build,
    dated_names,
    has_extra,
    json_names,
    kind_of,
    unify,
)
from aiplatform.data.column_types import (
    BY_LABEL,
    Evidence,
    boolean_word,
    convert_to_given_type,
    convert_to_inferred_type,
    first_unfit,
    is_point_or_number,
)
from aiplatform.data.conversations import CHAT
from aiplatform.data.conversations import build as build_conversations
from aiplatform.data.errors import MalformedData, Words, type_words
from aiplatform.data.json_text import NoJsonFormError, json_text
from aiplatform.data.limits import MAX_COLUMNS, MAX_DEPTH
from aiplatform.data.quarantine import Quarantine
from aiplatform.data.shapes import recognise
from aiplatform.protocol.enums import DataFormat

VERSION = "2"
"""Version of the canonical layout; increase it when a change alters the bytes for equal rows."""


DATED = {Kind.DATE, Kind.TIMESTAMP}


@dataclass(frozen=True, slots=True)
class Typing:
    """The column types that are known before the first row is read.

    Attributes:
        untyped: True for CSV and TSV, in which all values are text.
        given_types: Types set by the uploader, keyed by column names in the file.
        previous_types: Types in the previous version, keyed by canonical column names.
        explicit_types: The types in ``previous_types`` that an uploader has set for an earlier
            version. They count like those in ``given_types``, which take precedence.
        header_found: True if the first record was taken for a header although the uploader didn't
            say that it is one.
    """

    untyped: bool = False
    given_types: Mapping[str, str] = field(default_factory=dict)
    previous_types: Mapping[str, str] = field(default_factory=dict)
    explicit_types: Mapping[str, str] = field(default_factory=dict)
    header_found: bool = False


class Plan:
    """A plan for one file: the shape of its rows, and the name and type of each canonical column.

    Args:
        first: The first rows, from which the shape is recognised.
        mapped: The user's column mapping: names in the file to canonical names.
        typing: The column types that are already known.

    Raises:
        MalformedData: the columns don't fit the mapping, or a column can't have the given type.
    """

    def __init__(
        self,
        first: Chunk,
        mapped: Mapping[str, str] | None = None,
        typing: Typing | None = None,
    ) -> None:
        self.typing = typing or Typing()
        self.recognition = recognise(first.columns, mapped, untyped=self.typing.untyped)
        self.kinds: dict[str, Kind] = {}
        self.explicit_kinds = self._explicit_kinds(first)
        self._evidence: dict[str, Evidence] = {}
        self._is_frozen = False
        self._repeated = _names_among_values(first) if self.typing.header_found else []

    def _explicit_kinds(self, first: Chunk) -> dict[str, Kind]:
        given: dict[str, Kind] = {}
        for name, label in self.typing.given_types.items():
            if name not in first.columns:
                raise MalformedData("column_unknown", column=name)
            canonical = self.recognition.renames.get(name, name)
            needed = self._needed_type(canonical)
            if needed not in {None, label}:
                raise MalformedData(
                    "type_of_content",
                    column=name,
                    expected=label,
                    shape=str(self.recognition.shape),
                    needed=needed,
                )
            given[canonical] = BY_LABEL[label]
        booleans = dict.fromkeys(self.recognition.booleans, Kind.BOOL)
        return self._kept_kinds(first, given) | given | (booleans if self.typing.untyped else {})

    def _needed_type(self, canonical: str) -> str | None:
        """Return the type that the shape requires of a column; None if it may have any type."""
        if canonical in self.recognition.texts:
            return "text"
        return "boolean" if canonical in self.recognition.booleans else None

    def _kept_kinds(self, first: Chunk, given: Mapping[str, Kind]) -> dict[str, Kind]:
        """Return the types that were set for an earlier version and still apply, by column."""
        if not self.typing.untyped:
            return {}
        here = {self.recognition.renames.get(name, name) for name in first.columns}
        return {
            name: BY_LABEL[label]
            for name, label in self.typing.explicit_types.items()
            if name in here and name not in given and self._needed_type(name) in {None, label}
        }

    def explicit_types(self) -> dict[str, str]:
        """Return the types that uploaders have set, now or earlier, by canonical names.

        A type that was set earlier is kept if its column is missing from this file, but not if the
        column has a different type here.
        """
        here = {name: kind.label for name, kind in self.kinds.items()}
        earlier = {
            name: label
            for name, label in self.typing.explicit_types.items()
            if here.get(name, label) == label
        }
        set_now = {self.recognition.renames.get(name, name) for name in self.typing.given_types}
        return earlier | {name: self.explicit_kinds[name].label for name in set_now}

    def conform(self, chunk: Chunk) -> dict[str, Values]:
        """Return the columns of a chunk by canonical name, in the form that the shape requires.

        Raises:
            MalformedData: a value does not fit the shape or the type of its column.
        """
        known = self.recognition
        columns: dict[str, Values] = {}
        for name, given in chunk.columns.items():
            canonical = known.renames.get(name, name)
            taken = canonical in chunk.columns and canonical not in known.renames
            if canonical in columns or (canonical != name and taken):
                raise MalformedData("column_twice", name=canonical)
            if canonical in known.conversations:
                spelling = known.conversations[canonical]
                columns[canonical] = build_conversations(chunk, name, spelling)
                continue
            values = given
            if self.typing.untyped and isinstance(given, list):
                values = pa.array(given, pa.string())
            if canonical in known.texts:
                _require_text(chunk, name, values)
            if canonical in known.booleans:
                _require_booleans(chunk, name, values, untyped=self.typing.untyped)
            if canonical in self.explicit_kinds:
                position = first_unfit(values, self.explicit_kinds[canonical])
                if position is not None:
                    set_now = name in self.typing.given_types
                    raise chunk.error(
                        position,
                        "type_unfit" if set_now else "type_kept_unfit",
                        column=name,
                        expected=self.explicit_kinds[canonical].label,
                        value=str(values[position])[:80],
                    )
            columns[canonical] = values
        return columns

    def split_off_bad_rows(
        self, chunk: Chunk, quarantine: Quarantine | None
    ) -> tuple[Chunk, dict[str, Values]]:
        """Return a chunk without its bad rows, and its columns as :meth:`conform` returns them.

        Args:
            chunk: The rows.
            quarantine: Receives the bad rows; None if they are errors.

        Raises:
            MalformedData: a row is bad and ``quarantine`` is None, or an error does not belong to a
                single row.
        """
        try:
            columns = self.conform(chunk)
            if quarantine is not None:
                self._check_json(chunk, columns)
        except MalformedData as error:
            if quarantine is None or not error.concerns_one_row:
                raise
        else:
            return chunk, columns
        kept: list[int] = []
        for row in range(chunk.rows):
            one = chunk.take([row])
            try:
                self._check_json(one, self.conform(one))
            except MalformedData as error:
                quarantine.add(error, "" if chunk.raw is None else chunk.raw(row))
            else:
                kept.append(row)
        left = chunk.take(kept)
        return left, self.conform(left)

    def _check_json(self, chunk: Chunk, columns: dict[str, Values]) -> None:
        """Raise ``MalformedData`` for nested values that can't be written as JSON.

        Otherwise, the error would occur only when they are written.
        """
        for name, values in columns.items():
            if name in self.recognition.conversations or kind_of(values) is not Kind.JSON:
                continue
            try:
                build(values, Kind.JSON)
            except NoJsonFormError:
                raise _first_unencodable(chunk, name, values) from None

    def freeze(self) -> None:
        """Fix the types that were decided from all rows, before the file is read again."""
        self._is_frozen = True

    def learn(self, columns: dict[str, Values]) -> bool:
        """Widen the kinds so that they hold ``columns``; return True if the stored types change.

        Before the plan is frozen, each row must be passed exactly once, because some types depend
        on counts.

        Raises:
            MalformedData: there are too many columns.
        """
        before = self._stored()
        for name, values in columns.items():
            self.kinds[name] = self._learned(name, values)
        if len(self.kinds) > MAX_COLUMNS:
            raise MalformedData("columns_too_many", found=len(self.kinds), limit=MAX_COLUMNS)
        return self._stored() != before

    def _stored(self) -> tuple[dict[str, pa.DataType], list[str], dict[str, str]]:
        types = {name: kind.arrow for name, kind in self.kinds.items()}
        return types, json_names(self.kinds), dated_names(self.kinds)

    def _learned(self, name: str, values: Values) -> Kind:
        """Return the kind of a column that holds all earlier values and the new ones."""
        if name in self.explicit_kinds:
            return self.explicit_kinds[name]
        previous = self.typing.previous_types.get(name)
        if self._is_inferred(name):
            return self._decided(name, values, previous)
        known = self.kinds.get(name, Kind.NULL)
        kind = unify(Kind.STRING if known in DATED else known, self._kind(name, values))
        if kind is Kind.STRING and previous in {"date", "timestamp"}:
            decided = self._decided(name, pa.array(values, pa.string()), previous)
            return decided if decided.label == previous else kind
        return kind

    def _is_inferred(self, name: str) -> bool:
        known = self.recognition
        return self.typing.untyped and name not in known.texts and name not in known.conversations

    def _decided(self, name: str, texts: pa.Array, previous: str | None) -> Kind:
        if self._is_frozen and name in self.kinds:
            return self.kinds[name]
        evidence = self._evidence.setdefault(name, Evidence())
        evidence.add(texts)
        return evidence.decide(name, previous)

    def _kind(self, name: str, values: Values) -> Kind:
        spelling = self.recognition.conversations.get(name)
        if spelling is None:
            return kind_of(values)
        assert isinstance(values, pa.Array)  # Created by conform().
        if spelling is CHAT:
            return Kind.CHAT_EXTRA if has_extra(values.type) else Kind.CHAT
        return Kind.SHAREGPT_EXTRA if has_extra(values.type) else Kind.SHAREGPT

    def batch(self, chunk: Chunk, columns: dict[str, Values], schema: pa.Schema) -> pa.RecordBatch:
        """Return a chunk as a batch of the canonical schema.

        Args:
            chunk: The rows, for their number and positions.
            columns: Their columns, as :meth:`conform` returned them.
            schema: The schema that :meth:`schema` returned.

        Raises:
            MalformedData: a nested value can't be written as JSON.
        """
        arrays = []
        for name, kind in self.kinds.items():
            values = columns.get(name)
            if values is None:
                arrays.append(pa.nulls(chunk.rows, kind.arrow))
                continue
            if self.typing.untyped and name not in self.recognition.conversations:
                read = (
                    convert_to_given_type
                    if name in self.explicit_kinds
                    else convert_to_inferred_type
                )
                arrays.append(read(values, kind))
                continue
            try:
                arrays.append(build(values, kind))
            except NoJsonFormError:
                raise _first_unencodable(chunk, name, values) from None
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def schema(self, origin: DataFormat) -> pa.Schema:
        """Return the canonical schema; its metadata contains all that a reader needs."""
        metadata = {
            "aiplatform.format": str(origin),
            "aiplatform.json": json.dumps(json_names(self.kinds), ensure_ascii=False),
            "aiplatform.shape": str(self.recognition.shape),
            "aiplatform.version": VERSION,
        }
        if dated := dated_names(self.kinds):
            metadata["aiplatform.dated"] = json.dumps(dated, ensure_ascii=False)
        return pa.schema(
            [(name, kind.arrow) for name, kind in self.kinds.items()], metadata=metadata
        )

    def hint(self) -> pa.Schema | None:
        """Return the columns and types under their names in the file, to speed up reading.

        Returns None if every value of some column has to be examined.
        """
        original = {new: old for old, new in self.recognition.renames.items()}
        slow = {Kind.JSON, Kind.CHAT_EXTRA, Kind.SHAREGPT_EXTRA}
        if slow & set(self.kinds.values()):
            return None
        return pa.schema([(original.get(n, n), kind.arrow) for n, kind in self.kinds.items()])

    def describe(self) -> list[dict[str, Any]]:
        """Return the names and types of the columns, as users see them."""
        return [{"name": name, "type": kind.label} for name, kind in self.kinds.items()]

    def header_doubt(self) -> Words | None:
        """Return a warning if the first record looks like a row, not a header; otherwise None."""
        if not self.typing.header_found:
            return None
        original = {new: old for old, new in self.recognition.renames.items()}
        numbers = {Kind.INT, Kind.FLOAT, *DATED}
        odd = [
            original.get(name, name)
            for name, kind in self.kinds.items()
            if kind in numbers and is_point_or_number(original.get(name, name))
        ]
        odd += [name for name in self._repeated if name not in odd]
        if not odd:
            return None
        names = ", ".join(f"“{name[:40]}”" for name in odd[:5])
        return Words(
            f"the first line looks like a row, not like a header: {names}. If it is a row,"
            " upload the file again with header=false (--no-header)",
            f"首行看起来像数据而不是表头：{names}。"
            "若确为数据，请以 header=false（--no-header）重新上传",
        )


def _names_among_values(first: Chunk) -> list[str]:
    """Return the names of columns that occur repeatedly among their own values.

    Columns whose values are mostly distinct are ignored.
    """
    found = []
    for name, values in first.columns.items():
        count = sum(1 for value in values if value == name)
        if count >= 2 and 2 * len(set(values)) <= len(values):
            found.append(name)
    return found


def _require_text(chunk: Chunk, name: str, values: Values) -> None:
    if isinstance(values, pa.Array):
        if pa.types.is_string(values.type) or values.null_count == len(values):
            return
        values = values.to_pylist()
    if set(map(type, values)) <= {str, type(None)}:
        return
    for row, value in enumerate(values):
        if value is not None and type(value) is not str:
            raise chunk.error(row, "text_expected", column=name, found=type_words(value))


def _require_booleans(chunk: Chunk, name: str, values: Values, *, untyped: bool) -> None:
    if isinstance(values, pa.Array):
        if pa.types.is_boolean(values.type) or values.null_count == len(values):
            return
        values = values.to_pylist()
    for row, value in enumerate(values):
        if value is None or type(value) is bool or (untyped and boolean_word(value) is not False):
            continue
        raise chunk.error(row, "boolean_expected", column=name, value=str(value)[:80])


def _first_unencodable(chunk: Chunk, name: str, values: Values) -> MalformedData:
    plain = values.to_pylist() if isinstance(values, pa.Array) else values
    for row, value in enumerate(plain):
        try:
            json_text(value)
        except NoJsonFormError as error:
            return chunk.error(row, error.reason, column=name, limit=MAX_DEPTH, found=error.found)
    raise AssertionError(name)

"""Column types, inferred chunk by chunk while a file is read.

JSON has no schema, so the type of a column is the narrowest kind that holds all its values without
changing any:

- only nulls so far, then values: the kind of the values
- integers and fractions: double precision, as long as no integer would be rounded
- any other mix: each value as JSON text

:func:`unify` is associative and commutative, so the result does not depend on how the rows were cut
into chunks.
"""

from collections.abc import Iterable
from enum import Enum

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.chunk import Values
from aiplatform.data.conversations import CHAT, EXTRA, SHAREGPT
from aiplatform.data.json_text import json_text
from aiplatform.data.limits import EXACT_INT

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Kind(Enum):
    """The type of a column's values."""

    NULL = "null"
    BOOL = "boolean"
    INT = "integer"
    WIDE_INT = "wide_integer"
    """Integers beyond 2^53, which a double would round."""
    FLOAT = "number"
    STRING = "text"
    JSON = "json"
    """JSON text of each value: nested values, or values of several types."""
    DATE = "date"
    """Text that is a date in every row; only for CSV columns and rows that are added to them."""
    TIMESTAMP = "timestamp"
    """Text that is a date with a time in every row; used in the same cases as ``DATE``."""
    CHAT = "chat"
    CHAT_EXTRA = "chat_extra"
    SHAREGPT = "sharegpt"
    SHAREGPT_EXTRA = "sharegpt_extra"

    @property
    def label(self) -> str:
        """The kind as users see it; kinds that differ only internally share one label."""
        return LABELS.get(self, self.value)

    @property
    def arrow(self) -> pa.DataType:
        """The type in the canonical Parquet file; a column of nulls is stored as text."""
        return ARROW[self]


LABELS = {
    Kind.WIDE_INT: "integer",
    Kind.CHAT: "messages",
    Kind.CHAT_EXTRA: "messages",
    Kind.SHAREGPT: "messages",
    Kind.SHAREGPT_EXTRA: "messages",
}

ARROW: dict[Kind, pa.DataType] = {
    Kind.NULL: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.WIDE_INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.JSON: pa.string(),
    Kind.DATE: pa.string(),
    Kind.TIMESTAMP: pa.string(),
    Kind.CHAT: CHAT.arrow_type(extra=False),
    Kind.CHAT_EXTRA: CHAT.arrow_type(extra=True),
    Kind.SHAREGPT: SHAREGPT.arrow_type(extra=False),
    Kind.SHAREGPT_EXTRA: SHAREGPT.arrow_type(extra=True),
}

_UNIONS: dict[frozenset[Kind], Kind] = {
    frozenset({Kind.INT, Kind.WIDE_INT}): Kind.WIDE_INT,
    frozenset({Kind.INT, Kind.FLOAT}): Kind.FLOAT,
    frozenset({Kind.CHAT, Kind.CHAT_EXTRA}): Kind.CHAT_EXTRA,
    frozenset({Kind.SHAREGPT, Kind.SHAREGPT_EXTRA}): Kind.SHAREGPT_EXTRA,
}


def unify(first: Kind, second: Kind) -> Kind:
    """Return the narrowest kind that holds the values of both kinds."""
    if first is second or second is Kind.NULL:
        return first
    if first is Kind.NULL:
        return second
    return _UNIONS.get(frozenset({first, second}), Kind.JSON)


def kind_of(values: Values) -> Kind:
    """Return the narrowest kind that holds ``values``; conversations count as JSON here."""
    if isinstance(values, pa.Array):
        return _kind_of_array(values)
    types = set(map(type, values))
    types.discard(type(None))
    if not types:
        return Kind.NULL
    if types == {str}:
        return Kind.STRING
    if types == {int}:
        return _kind_of_range(v for v in values if v is not None)
    if types == {float}:
        return Kind.FLOAT
    if types == {bool}:
        return Kind.BOOL
    if types == {int, float}:
        return unify(Kind.FLOAT, _kind_of_range(v for v in values if type(v) is int))
    return Kind.JSON


def _kind_of_range(integers: Iterable[int]) -> Kind:
    found = list(integers)
    low, high = min(found), max(found)
    if low >= -EXACT_INT and high <= EXACT_INT:
        return Kind.INT
    return Kind.WIDE_INT if low >= INT64_MIN and high <= INT64_MAX else Kind.JSON


def _kind_of_array(array: pa.Array) -> Kind:
    if array.null_count == len(array):
        return Kind.NULL
    kind = array.type
    if pa.types.is_string(kind):
        return Kind.STRING
    if pa.types.is_boolean(kind):
        return Kind.BOOL
    if pa.types.is_float64(kind):
        return Kind.FLOAT
    if pa.types.is_int64(kind):
        ends = pc.min_max(array)
        return _kind_of_range((ends["min"].as_py(), ends["max"].as_py()))
    return Kind.JSON


def build(values: Values, kind: Kind) -> pa.Array:
    """Convert ``values`` to an Arrow array of ``kind``, which must hold them.

    Raises:
        NoJsonFormError: a value of a JSON column can't be written as JSON.
    """
    if kind is Kind.JSON:
        plain = values.to_pylist() if isinstance(values, pa.Array) else values
        return pa.array([None if v is None else json_text(v) for v in plain], pa.string())
    if isinstance(values, pa.Array):
        return _widen(values, kind.arrow)
    return pa.array(values, kind.arrow)


def _widen(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if array.type == wanted:
        return array
    if pa.types.is_list(wanted):
        return _with_extra(array, wanted)
    if array.null_count == len(array):
        return pa.nulls(len(array), wanted)
    return array.cast(wanted)


def _with_extra(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Add an empty ``extra`` field to conversations, because others in the column have one."""
    if array.null_count == len(array):
        return pa.nulls(len(array), wanted)
    messages = array.values
    fields = [*messages.flatten(), pa.nulls(len(messages), pa.string())]
    structs = pa.StructArray.from_arrays(fields, fields=list(wanted.value_type))
    return pa.ListArray.from_arrays(
        array.offsets, structs, type=wanted, mask=array.is_null() if array.null_count else None
    )


def json_names(kinds: dict[str, Kind]) -> list[str]:
    """Return the names of the columns that are stored as JSON text, in order."""
    return [name for name, kind in kinds.items() if kind is Kind.JSON]


def dated_names(kinds: dict[str, Kind]) -> dict[str, str]:
    """Return the type (``date`` or ``timestamp``) of each column of dates or times."""
    return {n: kind.label for n, kind in kinds.items() if kind in {Kind.DATE, Kind.TIMESTAMP}}


def has_extra(kind: pa.DataType) -> bool:
    """Return True if a conversation type has :data:`~aiplatform.data.conversations.EXTRA`."""
    return bool(pa.types.is_list(kind) and kind.value_type.get_field_index(EXTRA) >= 0)

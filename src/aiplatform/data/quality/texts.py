"""Questions to columns that several checks ask, answered in Arrow."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.canonical import json_columns
from aiplatform.data.conversations import SPELLINGS
from aiplatform.data.quality.nested import nested_texts
from aiplatform.data.quality.pieces import once_a_piece

ANSWER_COLUMNS = frozenset({"chosen", "completion", "output"})
"""Columns of plain text that a model learns to say."""
ASSISTANTS = pa.array(
    sorted({name for s in SPELLINGS for name, role in s.roles.items() if role == "assistant"})
)
"""How the speaker of an answer is spelled."""


def is_conversation(column: pa.Array) -> bool:
    """Whether a canonical column holds conversations."""
    return bool(pa.types.is_list(column.type))


def blank(texts: pa.Array) -> pa.Array:
    """True where a text is there but only white space; null where it is null."""
    return pc.equal(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0)


def absent(column: pa.Array) -> pa.Array:
    """True where there is no value: null, NaN, or a conversation without messages."""
    if is_conversation(column):
        return pc.fill_null(pc.equal(pc.list_value_length(column), 0), True)
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))


def messages_of(conversations: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """All messages of a column: speakers, texts, and the row (of the batch) that each is in."""
    parts = conversations.flatten().flatten()
    return parts[0], parts[1], pc.list_parent_indices(conversations)


def rows_where(mask: pa.Array, rows: pa.Array, count: int) -> pa.Array:
    """A mask over ``count`` rows: true for rows that have a true ``mask`` among their messages."""
    hit = pc.unique(rows.filter(mask))
    return pc.is_in(pa.array(range(count), rows.type), value_set=hit)


def texts_of(batch: pa.RecordBatch, names: Iterable[str]) -> Iterator[tuple[pa.Array, pa.Array]]:
    """All texts of the columns ``names`` of a batch: texts, and the row that each is in."""
    for name in names:
        column = batch.column(name)
        if is_conversation(column):
            _, texts, rows = messages_of(column)
            yield texts, rows
        elif pa.types.is_string(column.type):
            yield column, pa.array(range(batch.num_rows), pa.int64())


@once_a_piece
def mendable_texts(
    batch: pa.RecordBatch, names: Sequence[str]
) -> list[tuple[pa.Array, pa.Array, Sequence[str]]]:
    """What :func:`texts_of` gives, but of nested values each text by itself: what a fix can mend.

    Beside a text and its row stands the key that it has in an object; elsewhere there are no keys.
    """
    as_json = set(json_columns(batch.schema))
    found: list[tuple[pa.Array, pa.Array, Sequence[str]]] = []
    for name in names:
        if name in as_json:
            found.append(nested_texts(batch.column(name)))
        else:
            found += [(texts, rows, ()) for texts, rows in texts_of(batch, [name])]
    return found


def answers_of(batch: pa.RecordBatch, names: Iterable[str]) -> Iterator[tuple[pa.Array, pa.Array]]:
    """The texts among them that a model learns to say, and the row that each is in."""
    for texts, rows, said in sides_of(batch, names):
        yield texts.filter(said), rows.filter(said)


def sides_of(
    batch: pa.RecordBatch, names: Iterable[str]
) -> Iterator[tuple[pa.Array, pa.Array, pa.Array]]:
    """All texts, the row that each is in, and whether a model learns to say it."""
    for name in names:
        column = batch.column(name)
        if is_conversation(column):
            speakers, texts, rows = messages_of(column)
            yield texts, rows, pc.is_in(speakers, value_set=ASSISTANTS)
        elif pa.types.is_string(column.type):
            said = pa.repeat(name in ANSWER_COLUMNS, batch.num_rows)
            yield column, pa.array(range(batch.num_rows), pa.int64()), said

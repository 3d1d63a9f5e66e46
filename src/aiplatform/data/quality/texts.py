"""Arrow functions that several checks use to read texts from columns."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.canonical import json_columns
from aiplatform.data.conversations import SPELLINGS
from aiplatform.data.quality.nested import nested_texts
from aiplatform.data.quality.pieces import cache_last_piece

ANSWER_COLUMNS = frozenset({"chosen", "completion", "output"})
"""Text columns that contain answers, which a model learns to produce."""
ASSISTANTS = frozenset(
    name for s in SPELLINGS for name, role in s.roles.items() if role == "assistant"
)
"""Speaker names that mark answers, in all spellings."""


def is_conversation(column: pa.Array) -> bool:
    """Return True if a canonical column contains conversations."""
    return bool(pa.types.is_list(column.type))


def blank(texts: pa.Array) -> pa.Array:
    """Return one boolean per text: True if it is empty or only white space; null for null."""
    return pc.equal(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0)


def absent(column: pa.Array) -> pa.Array:
    """Return one boolean per value: True for null, NaN, and conversations without messages."""
    if is_conversation(column):
        return pc.fill_null(pc.equal(pc.list_value_length(column), 0), True)
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))


def messages_of(conversations: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return all messages of a column: their speakers, texts, and rows in the batch."""
    parts = conversations.flatten().flatten()
    return parts[0], parts[1], pc.list_parent_indices(conversations)


def rows_where(mask: pa.Array, rows: pa.Array, count: int) -> pa.Array:
    """Return one boolean for each of ``count`` rows: True if ``mask`` is true for any message.

    Args:
        mask: One boolean per message.
        rows: The row of each message.
        count: The number of rows.
    """
    hit = pc.unique(rows.filter(mask))
    return pc.is_in(pa.array(range(count), rows.type), value_set=hit)


def texts_of(batch: pa.RecordBatch, names: Iterable[str]) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield, for each of the columns ``names``, its texts, and the row of each text."""
    for name in names:
        column = batch.column(name)
        if is_conversation(column):
            _, texts, rows = messages_of(column)
            yield texts, rows
        elif pa.types.is_string(column.type):
            yield column, pa.array(range(batch.num_rows), pa.int64())


@cache_last_piece
def fixable_texts(
    batch: pa.RecordBatch, names: Sequence[str]
) -> list[tuple[pa.Array, pa.Array, Sequence[str]]]:
    """Return all texts that a fix can change: those of :func:`texts_of` and those in JSON columns.

    Each text in a nested value counts separately.

    Returns:
        For each column its texts, the row of each text, and the key of each text in its JSON
        object; the keys are empty for other columns.
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
    """Yield, for each column, the texts of answers, and the row of each."""
    for texts, rows, is_answer in sides_of(batch, names):
        yield texts.filter(is_answer), rows.filter(is_answer)


def sides_of(
    batch: pa.RecordBatch, names: Iterable[str]
) -> Iterator[tuple[pa.Array, pa.Array, pa.Array]]:
    """Yield, for each column, its texts, the row of each, and one boolean: True for answers."""
    for name in names:
        column = batch.column(name)
        if is_conversation(column):
            speakers, texts, rows = messages_of(column)
            yield texts, rows, pc.is_in(speakers, value_set=pa.array(sorted(ASSISTANTS)))
        elif pa.types.is_string(column.type):
            is_answer = pa.repeat(name in ANSWER_COLUMNS, batch.num_rows)
            yield column, pa.array(range(batch.num_rows), pa.int64()), is_answer

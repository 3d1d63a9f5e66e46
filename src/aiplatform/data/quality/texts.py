"""Questions to columns that several checks ask, answered in Arrow."""

import pyarrow as pa
import pyarrow.compute as pc


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

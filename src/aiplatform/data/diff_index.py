"""The index of the differences between two versions, and how to read pages of rows from it.

:mod:`aiplatform.data.diff` writes the index. The API reads it with this module, which needs no
Polars.
"""

import json
from io import RawIOBase
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aiplatform.data.row_access import rows_at
from aiplatform.protocol.encoding import dumps

ADDED, REMOVED, CHANGED = 0, 1, 2
KINDS = ("added", "removed", "changed")
SUMMARY = b"aiplatform.diff"
"""Key of the summary in the metadata of the index."""


def summary_of(index: Path) -> dict[str, Any]:
    """Return the summary that :func:`~aiplatform.data.diff.compare` has stored in the index."""
    found: dict[str, Any] = json.loads(pq.read_schema(index).metadata[SUMMARY])
    return found


def page(
    index: Path,
    before: Path | RawIOBase,
    after: Path | RawIOBase,
    *,
    offset: int,
    limit: int,
    kinds: set[str] | None = None,
) -> tuple[list[dict[str, Any]], int | None]:
    """Return one page of index entries with their rows, and the offset of the next page.

    Entries for added and removed rows contain the whole row; those for changed rows contain only
    the cells that differ.

    Args:
        index: The index file that :func:`~aiplatform.data.diff.compare` wrote.
        before: The canonical Parquet file of the first version.
        after: The canonical Parquet file of the second version.
        offset: The number of entries to skip.
        limit: The largest number of entries to return.
        kinds: Which of ``added``, ``removed`` and ``changed`` to return; None for all.
    """
    table = pq.read_table(index, memory_map=True)
    if kinds is not None:
        wanted = pa.array([KINDS.index(kind) for kind in kinds], pa.uint8())
        table = table.filter(pc.is_in(table.column("kind"), value_set=wanted))
    entries = table.slice(offset, limit).to_pylist()
    olds = rows_at(before, [e["before"] for e in entries if e["before"] is not None])
    news = rows_at(after, [e["after"] for e in entries if e["after"] is not None])
    old, new = iter(olds), iter(news)
    items = []
    for entry in entries:
        item: dict[str, Any] = {
            "kind": KINDS[entry["kind"]], "before": entry["before"], "after": entry["after"],
        }  # fmt: skip
        if entry["kind"] == ADDED:
            item["row"] = next(new)
        elif entry["kind"] == REMOVED:
            item["row"] = next(old)
        else:
            item["cells"] = changed_cells(next(old), next(new))
        items.append(item)
    following = offset + len(entries)
    return items, following if following < table.num_rows else None


def changed_cells(old: dict[str, Any], new: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the old and the new value of each cell that differs between two rows."""
    names = [*old, *(name for name in new if name not in old)]
    return {
        name: {"before": old.get(name), "after": new.get(name)}
        for name in names
        if dumps(old.get(name)) != dumps(new.get(name))
    }

"""Export canonical rows as text: JSON Lines, or CSV that is safe to open in a spreadsheet."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiplatform.data.canonical import export_jsonl, iter_batches, rows_of
from aiplatform.data.json_text import json_text
from aiplatform.data.spreadsheets import csv_line, neutralise_formulas

ROWS_AT_ONCE = 1024


def export_csv(path: Path) -> Iterator[bytes]:
    """Yield the rows as CSV (RFC 4180, UTF-8 with a byte order mark, which Excel needs).

    Nested values are JSON text. Text that a spreadsheet would run as a formula is preceded by an
    apostrophe; see :mod:`aiplatform.data.spreadsheets`.
    """
    names: list[str] | None = None
    for batch in iter_batches(path):
        if names is None:
            names = list(batch.schema.names)
            yield b"\xef\xbb\xbf" + _lines([[_cell(name) for name in names]])
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            rows = rows_of(batch.slice(start, ROWS_AT_ONCE))
            yield _lines([[_cell(row[name]) for name in names] for row in rows])


def _lines(rows: list[list[str]]) -> bytes:
    return "".join(map(csv_line, rows)).encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return neutralise_formulas(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return neutralise_formulas(json_text(value))


EXPORTS: dict[str, Callable[[Path], Iterator[bytes]]] = {
    "csv": export_csv,
    "jsonl": export_jsonl,
}

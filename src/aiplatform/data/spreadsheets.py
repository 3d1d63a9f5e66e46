"""Write CSV in which no text is run as a formula when a spreadsheet opens it."""

import re
from collections.abc import Iterable

FORMULA = re.compile(r" *[=+\-@\t\r\n＝＋－＠]")
"""Beginning of a text that a spreadsheet may run as a formula."""

INSIDE = re.compile(r"([;\t\r\n] *)([=+@＝＋＠]|[-－](?=[^;\t\r\n]*[|(!]))")
"""Possible beginning of a formula in the middle of a text.

In many countries, spreadsheets separate cells at ``;``, and respect quotes only at the beginning of
a cell. List items that begin with ``-`` are not matched unless they call or fetch something.
"""

QUOTED = re.compile(r'[",;\t\r\n]|^ | $')
"""Characters that make quotes necessary; without them, some readers would trim or split a cell."""


def neutralise_formulas(text: str) -> str:
    """Insert an apostrophe before everything in the text that a spreadsheet may run."""
    text = INSIDE.sub(r"\1'\2", text)
    return f"'{text}" if FORMULA.match(text) else text


def csv_line(cells: Iterable[str]) -> str:
    """Return a line of CSV (RFC 4180).

    A single empty cell is quoted, because readers skip empty lines.
    """
    return (",".join(map(_written, cells)) or '""') + "\r\n"


def _written(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if QUOTED.search(cell) else cell

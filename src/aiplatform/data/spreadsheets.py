"""CSV that a spreadsheet opens as what it is: text, and no formulas."""

import re
from collections.abc import Iterable

FORMULA = re.compile(r" *[=+\-@\t\r\n＝＋－＠]")
"""What a spreadsheet takes for the beginning of a formula, and may run."""

INSIDE = re.compile(r"([;\t\r\n] *)([=+@＝＋＠]|[-－](?=[^;\t\r\n]*[|(!]))")
"""The same in the middle of a text: in many countries a spreadsheet parts cells at ``;``, and takes
quotes for such at the beginning of a cell only. Lists whose items begin with ``-`` are none, unless
they call or fetch something."""

QUOTED = re.compile(r'[",;\t\r\n]|^ | $')
"""What has to be quoted, and what some readers would trim or part otherwise."""


def defused(text: str) -> str:
    """The text with an apostrophe before what could become a formula."""
    text = INSIDE.sub(r"\1'\2", text)
    return f"'{text}" if FORMULA.match(text) else text


def csv_line(cells: Iterable[str]) -> str:
    """A line of CSV by RFC 4180. An empty one would be passed over, so one empty cell is quoted."""
    return (",".join(map(_written, cells)) or '""') + "\r\n"


def _written(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if QUOTED.search(cell) else cell

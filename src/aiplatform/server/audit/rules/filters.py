"""Filters for the audit trail, and rules for finding rows by words quickly."""

import re
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

from aiplatform.data.spreadsheets import neutralise_formulas

LEXEME = re.compile(r"'((?:[^']|'')*)'")
"""Pattern that matches one word in the text of a ``tsquery``."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters for the audit trail. All filters that are given must match.

    ``user`` is a uuid or a user name, which may belong to a deleted user. ``action`` ending in
    ``:`` means all actions of a resource. ``resource`` is a type or a uuid. ``text`` contains
    words, or beginnings of words, in the details. ``filter`` is a filter language expression.
    """

    user: str | None = None
    action: str | None = None
    resource: str | None = None
    project: UUID | None = None
    outcome: str | None = None
    address: IPv4Network | IPv6Network | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    filter: str | None = None


def words_of(text: str) -> list[str]:
    """Return the words in ``text``, which are separated by spaces."""
    return text.replace("\0", " ").split()


def prefix_query(word: str, query: str) -> str:
    """Return a ``tsquery`` for words that begin with ``word``.

    ``query`` is the ``tsquery`` into which PostgreSQL parses the word. It may have several parts:
    ``run-7`` becomes ``run`` followed by ``-7``, and ``run-se`` becomes itself and both halves.
    Only parts at the end of the word match as prefixes. If earlier parts did, too, all rows with
    any word that begins like them would have to be read.
    """
    end = re.sub(r"\W+$", "", word).lower()
    last = max((found.start() for found in LEXEME.finditer(query)), default=-1)

    def begun(found: re.Match[str]) -> str:
        lexeme = found[1].replace("''", "'").replace("\\\\", "\\")
        goes_on = found.start() == last or end.endswith(lexeme)
        return f"{found[0]}:*" if goes_on else found[0]

    return f"({LEXEME.sub(begun, query)})"


WORDS_COST_PER_FETCH = 4.0
"""Cost of parsing the words of a row, as a multiple of the cost of fetching a row by index."""


def prefer_index(rows: float, found: float, page: int) -> bool:
    """Return True if fetching all rows with the words costs less than reading the newest rows.

    Reading the newest rows until a page is full takes about ``page * rows / found`` rows.

    Args:
        rows: the number of all rows.
        found: the number of rows that contain the words.
        page: the number of rows of a page.
    """
    return found * found < WORDS_COST_PER_FETCH * page * rows


FIRST_WINDOW = 40_000
"""Number of newest rows that are searched first for rare words."""
MAX_FETCHED = 4_000
"""Largest number of matching rows for which all are fetched to find the newest ones."""


def next_window(length: int, found: int, wanted: int, rows: float) -> int | None:
    """Return the number of newest rows to search next for words, or None to search all rows.

    The window is twice as large as it should have to be, so that a third search is rarely needed.
    All rows are searched if so few matches are expected that all of them can be fetched.

    Args:
        length: the number of rows in the previous window.
        found: the number of matches in it.
        wanted: the number of matches needed.
        rows: the number of all rows.
    """
    if found * rows <= MAX_FETCHED * length:
        return None
    return length * max(2, 2 * wanted // found)


def csv_cell(value: object) -> str:
    """Return the text of a cell, preceded by an apostrophe if it looks like a formula."""
    return "" if value is None else neutralise_formulas(str(value))

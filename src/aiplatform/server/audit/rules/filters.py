"""What of the trail is asked for."""

import re
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

from aiplatform.data.spreadsheets import defused

LEXEME = re.compile(r"'((?:[^']|'')*)'")
"""A word in the text of a ``tsquery``."""


@dataclass(frozen=True, slots=True)
class Filters:
    """All that are given must hold.

    ``user`` is a uuid or a name, also of somebody who was deleted; ``action`` ending in ``:``
    stands for all actions of a resource; ``resource`` is a type or a uuid; ``text`` are words, or
    beginnings of words, in the details; ``filter`` is a text in the filter language.
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
    """Return the words of ``text``, which spaces separate."""
    return text.replace("\0", " ").split()


def by_beginning(word: str, query: str) -> str:
    """``query``, PostgreSQL's reading of ``word``, such that what the word ends with may go on.

    A word may be read as several: ``run-7`` as ``run`` followed by ``-7``, and ``run-se`` as itself
    and both halves. What comes before the end is whole. Looking that up by its beginning as well
    would mean to go through all rows that have any word of that beginning.
    """
    end = re.sub(r"\W+$", "", word).lower()
    last = max((found.start() for found in LEXEME.finditer(query)), default=-1)

    def begun(found: re.Match[str]) -> str:
        lexeme = found[1].replace("''", "'").replace("\\\\", "\\")
        goes_on = found.start() == last or end.endswith(lexeme)
        return f"{found[0]}:*" if goes_on else found[0]

    return f"({LEXEME.sub(begun, query)})"


READING_PER_FETCH = 4.0
"""How many times as long it takes to make a row's words as to fetch a row that has them."""


def fetching_is_less(rows: float, found: float, page: int) -> bool:
    """Whether to fetch all rows that have some words, or to read the newest until a page is full.

    Of ``rows`` rows ``found`` have them, so about ``page * rows / found`` would be read.
    """
    return found * found < READING_PER_FETCH * page * rows


FIRST_PIECE = 40_000
"""How many of the newest rows are first looked through for words that few have."""
FETCHED = 4_000
"""How many rows may be fetched to find the newest of them."""


def longer_piece(length: int, found: int, wanted: int, rows: float) -> int | None:
    """The next piece after one of ``length`` rows, which had ``found`` of the ``wanted``.

    Twice what should be enough, so that it rarely takes a third; None for all of ``rows``, when
    they should have few enough to fetch them all.
    """
    if found * rows <= FETCHED * length:
        return None
    return length * max(2, 2 * wanted // found)


def csv_cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula: such a one gets an apostrophe in front."""
    return "" if value is None else defused(str(value))

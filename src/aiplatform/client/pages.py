"""Lists that are fetched page by page."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

from aiplatform.client.display import (
    ITEMS_SHOWN,
    ROWS_SHOWN,
    ResourceList,
    html,
    lines_of,
    printable,
    table_of,
)
from aiplatform.client.errors import UnexpectedAnswer
from aiplatform.language import tr

T = TypeVar("T")

MOST_AT_ONCE = 100
"""Largest number of items in one page."""


class Pages(Generic[T]):
    """A server list that is fetched page by page.

    Each iteration starts at the first page. ``all()`` fetches everything, ``first()`` one item. A
    shell or notebook that shows the list fetches its first page.

    Args:
        fetch: returns the page after a cursor, with at most the given number of items.
        make: converts an item of the server's response.
        limit: the largest number of items; by default there is no limit.

    Raises:
        ValueError: for a limit below zero.
    """

    def __init__(
        self,
        fetch: Callable[[str | None, int], dict[str, Any]],
        make: Callable[[Any], T],
        *,
        limit: int | None = None,
    ) -> None:
        if limit is not None and limit < 0:
            raise ValueError(f"a limit is 0 or more, not {limit}")
        self._fetch = fetch
        self._make = make
        self._limit = limit

    def __iter__(self) -> Iterator[T]:
        return self._items(page_size=MOST_AT_ONCE)

    def all(self) -> list[T]:
        """Return all items."""
        return ResourceList(self)

    def first(self) -> T | None:
        """Return the first item, or ``None`` if the list is empty."""
        return next(self._items(page_size=1), None)

    def take(self, count: int) -> list[T]:
        """Return the first ``count`` items, or all if there are fewer."""
        items = self._items(page_size=max(1, min(count, MOST_AT_ONCE)))
        return ResourceList(islice(items, count))

    def __repr__(self) -> str:
        try:
            return lines_of(self.take(ITEMS_SHOWN + 1))
        except Exception as error:  # noqa: BLE001  (debuggers and logs call it at any time)
            return self._refusal(error)

    def _repr_html_(self) -> str:
        """Return a table, for notebooks."""
        try:
            return table_of(self.take(ROWS_SHOWN + 1))
        except Exception as error:  # noqa: BLE001  (a notebook would show a traceback)
            return html(self._refusal(error))

    def _refusal(self, error: Exception) -> str:
        """Return the text that is shown instead of a list that can't be read."""
        return printable(f"<{type(self).__name__}: {error}>")

    def _items(self, page_size: int) -> Iterator[T]:
        if self._limit == 0:
            return iter(())
        size = page_size if self._limit is None else min(page_size, self._limit)
        return islice(self._pages(size), self._limit)

    def _pages(self, page_size: int) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self._fetch(cursor, page_size)
            if not isinstance(page, dict) or "items" not in page:
                raise UnexpectedAnswer(tr("the server's answer is not a page of a list"))
            yield from map(self._make, page["items"])
            following = page.get("next_cursor")
            if following is None:
                return
            if following == cursor:
                raise UnexpectedAnswer(tr("the server returned the same page of a list twice"))
            cursor = following

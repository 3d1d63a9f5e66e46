"""Lists that fetch their next page when it is wanted."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from aiplatform.client.errors import UnexpectedAnswer

T = TypeVar("T")


class Pages(Generic[T]):
    """All items of a list, page by page behind the scenes.

    Iterating starts from the first page each time. ``all()`` collects everything, ``first()``
    fetches one item.
    """

    def __init__(
        self, fetch: Callable[[str | None, int], dict[str, Any]], make: Callable[[Any], T]
    ) -> None:
        self._fetch = fetch
        self._make = make

    def __iter__(self) -> Iterator[T]:
        return self._items(page_size=100)

    def all(self) -> list[T]:
        """Every item."""
        return list(self)

    def first(self) -> T | None:
        """The first item, or ``None`` when there is none."""
        return next(self._items(page_size=1), None)

    def take(self, count: int) -> list[T]:
        """The first ``count`` items, or as many as there are."""
        items = self._items(page_size=max(1, min(count, 100)))
        return [item for _, item in zip(range(count), items, strict=False)]

    def _items(self, page_size: int) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self._fetch(cursor, page_size)
            if not isinstance(page, dict) or "items" not in page:
                raise UnexpectedAnswer("the server answered something that is not a page of a list")
            yield from map(self._make, page["items"])
            following = page.get("next_cursor")
            if following is None:
                return
            if following == cursor:
                raise UnexpectedAnswer("the server's list does not move on to its next page")
            cursor = following

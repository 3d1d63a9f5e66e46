"""A cache of query results within one transaction, for requests with many similar checks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy.orm import Session

Result = TypeVar("Result")
_CACHE = "aiplatform.query_cache"


@contextmanager
def query_cache(session: Session) -> Iterator[None]:
    """Cache the results of :func:`cached` during the block.

    The transaction must not change data that it reads this way.
    """
    session.info[_CACHE] = {}
    try:
        yield
    finally:
        del session.info[_CACHE]


def cached(session: Session, key: tuple[Any, ...], query: Callable[[], Result]) -> Result:
    """Return the cached result for ``key``, or call ``query``; see :func:`query_cache`."""
    cache: dict[tuple[Any, ...], Any] | None = session.info.get(_CACHE)
    if cache is None:
        return query()
    if key not in cache:
        cache[key] = query()
    result: Result = cache[key]
    return result

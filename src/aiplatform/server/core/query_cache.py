"""A cache of query results within one transaction, which can also send several queries together.

Each round trip to the server wakes two processes, which takes longer than most queries.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from aiplatform.server.core.statements import Compiled, fetch_all

Result = TypeVar("Result")
Key = tuple[Any, ...]
_CACHE = "aiplatform.query_cache"


@dataclass(frozen=True, slots=True)
class CachedQuery:
    """A query to run ahead, and a function from its rows to results of :func:`cached` by key."""

    statement: Compiled
    parameters: Mapping[str, Any]
    results: Callable[[Sequence[Any]], Mapping[Key, Any]]


@contextmanager
def query_cache(session: Session) -> Iterator[None]:
    """Cache the results of :func:`cached` during the block.

    Use it for transactions that handle many waiting requests together. The transaction must not
    change the data that it reads this way.
    """
    session.info[_CACHE] = {}
    try:
        yield
    finally:
        del session.info[_CACHE]


def cached(session: Session, key: Key, query: Callable[[], Result]) -> Result:
    """Return the cached result for ``key``, or call ``query``; see :func:`query_cache`."""
    cache: dict[Key, Any] | None = session.info.get(_CACHE)
    if cache is None:
        return query()
    if key not in cache:
        cache[key] = query()
    result: Result = cache[key]
    return result


def prefetch(session: Session, queries: Sequence[CachedQuery]) -> None:
    """Run queries together, and cache their results for :func:`cached` in :func:`query_cache`."""
    if not queries:
        return
    answers = fetch_all(session, *((query.statement, query.parameters) for query in queries))
    for query, rows in zip(queries, answers, strict=True):
        session.info[_CACHE].update(query.results(rows))

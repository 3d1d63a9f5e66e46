"""Tests of query results that are cached within a transaction."""

from sqlalchemy.orm import Session

from aiplatform.server.core.database import cached, query_cache


def test_cached_caches_only_within_query_cache(session: Session) -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    assert [cached(session, ("a",), ask), cached(session, ("a",), ask)] == [1, 2]
    with query_cache(session):
        assert [cached(session, ("a",), ask), cached(session, ("a",), ask)] == [3, 3]
        assert cached(session, ("b",), ask) == 4
    assert cached(session, ("a",), ask) == 5

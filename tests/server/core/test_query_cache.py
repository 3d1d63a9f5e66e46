"""Tests of cached queries and of queries that run ahead."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.core.query_cache import CachedQuery, cached, prefetch, query_cache
from aiplatform.server.core.statements import compiled

DOUBLED = compiled(text("SELECT CAST(:number AS int) AS number, 2 * CAST(:number AS int) AS twice"))


def test_cached_caches_only_within_query_cache(session: Session) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        def answer() -> str:
            asked.append(what)
            return what

        return cached(session, (what,), answer)

    assert [ask("a"), ask("a")] == ["a", "a"]
    assert asked == ["a", "a"]
    with query_cache(session):
        assert [ask("b"), ask("b"), ask("c")] == ["b", "b", "c"]
    assert asked == ["a", "a", "b", "c"]
    ask("b")
    assert asked == ["a", "a", "b", "c", "b"]


def test_prefetch_fills_the_cache(session: Session) -> None:
    def never() -> int:
        raise AssertionError("it is known")

    queries = [
        CachedQuery(
            DOUBLED,
            {"number": number},
            lambda rows: {("twice", row.number): row.twice for row in rows},
        )
        for number in (3, 4)
    ]
    with query_cache(session):
        prefetch(session, queries)
        assert [cached(session, ("twice", number), never) for number in (3, 4)] == [6, 8]
        # Other keys are queried as usual.
        assert cached(session, ("twice", 5), lambda: 10) == 10
        prefetch(session, [])
    with pytest.raises(AssertionError, match="it is known"):
        cached(session, ("twice", 3), never)

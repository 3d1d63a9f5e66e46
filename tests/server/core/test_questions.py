"""Tests of cached queries and of queries that run ahead."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.core.questions import Question, ask_ahead, asked_once, once
from aiplatform.server.core.statements import compiled

DOUBLED = compiled(text("SELECT CAST(:number AS int) AS number, 2 * CAST(:number AS int) AS twice"))


def test_once_caches_only_within_asked_once(session: Session) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        def answer() -> str:
            asked.append(what)
            return what

        return once(session, (what,), answer)

    assert [ask("a"), ask("a")] == ["a", "a"]
    assert asked == ["a", "a"]
    with asked_once(session):
        assert [ask("b"), ask("b"), ask("c")] == ["b", "b", "c"]
    assert asked == ["a", "a", "b", "c"]
    ask("b")
    assert asked == ["a", "a", "b", "c", "b"]


def test_ask_ahead_fills_the_cache(session: Session) -> None:
    def never() -> int:
        raise AssertionError("it is known")

    questions = [
        Question(
            DOUBLED,
            {"number": number},
            lambda rows: {("twice", row.number): row.twice for row in rows},
        )
        for number in (3, 4)
    ]
    with asked_once(session):
        ask_ahead(session, questions)
        assert [once(session, ("twice", number), never) for number in (3, 4)] == [6, 8]
        # Other keys are queried as usual.
        assert once(session, ("twice", 5), lambda: 10) == 10
        ask_ahead(session, [])
    with pytest.raises(AssertionError, match="it is known"):
        once(session, ("twice", 3), never)

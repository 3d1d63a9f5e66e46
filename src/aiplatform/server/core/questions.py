"""A cache of queries within one transaction, which can also send several queries together.

Each round trip to the server wakes two processes, which takes longer than most queries.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from aiplatform.server.core.statements import Compiled, all_of

Answer = TypeVar("Answer")
Key = tuple[Any, ...]
_KNOWN = "aiplatform.known"


@dataclass(frozen=True, slots=True)
class Question:
    """A query to run ahead, and a function from its rows to results of :func:`once` by key."""

    statement: Compiled
    parameters: Mapping[str, Any]
    answers: Callable[[Sequence[Any]], Mapping[Key, Any]]


@contextmanager
def asked_once(session: Session) -> Iterator[None]:
    """Cache the results of :func:`once` during the block.

    Use it for transactions that handle many waiting requests together. The transaction must not
    change the data that it reads this way.
    """
    session.info[_KNOWN] = {}
    try:
        yield
    finally:
        del session.info[_KNOWN]


def once(session: Session, key: Key, ask: Callable[[], Answer]) -> Answer:
    """Return the cached result for ``key``, or call ``ask``; see :func:`asked_once`."""
    known: dict[Key, Any] | None = session.info.get(_KNOWN)
    if known is None:
        return ask()
    if key not in known:
        known[key] = ask()
    answer: Answer = known[key]
    return answer


def ask_ahead(session: Session, questions: Sequence[Question]) -> None:
    """Run queries together, and cache their results for :func:`once` in :func:`asked_once`."""
    if not questions:
        return
    answered = all_of(session, *((one.statement, one.parameters) for one in questions))
    for one, rows in zip(questions, answered, strict=True):
        session.info[_KNOWN].update(one.answers(rows))

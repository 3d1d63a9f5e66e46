"""What a transaction asks the database before it writes: one time each, and together where it is
known beforehand what will be asked.

Each way to the server and back wakes two processes, which takes longer than most answers.
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
    """A statement, and what its rows answer: what :func:`once` is to find, by its keys."""

    statement: Compiled
    parameters: Mapping[str, Any]
    answers: Callable[[Sequence[Any]], Mapping[Key, Any]]


@contextmanager
def asked_once(session: Session) -> Iterator[None]:
    """Within, what :func:`once` is asked is asked of the database one time.

    For transactions that do one thing for many requests which are there already. What is asked so
    must not be changed within.
    """
    session.info[_KNOWN] = {}
    try:
        yield
    finally:
        del session.info[_KNOWN]


def once(session: Session, key: Key, ask: Callable[[], Answer]) -> Answer:
    """What ``ask`` finds, or found for the same ``key`` before, see :func:`asked_once`."""
    known: dict[Key, Any] | None = session.info.get(_KNOWN)
    if known is None:
        return ask()
    if key not in known:
        known[key] = ask()
    answer: Answer = known[key]
    return answer


def ask_ahead(session: Session, questions: Sequence[Question]) -> None:
    """Ask now, and all together, what :func:`once` will be asked for within :func:`asked_once`."""
    if not questions:
        return
    answered = all_of(session, *((one.statement, one.parameters) for one in questions))
    for one, rows in zip(questions, answered, strict=True):
        session.info[_KNOWN].update(one.answers(rows))

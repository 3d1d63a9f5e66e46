"""Submissions that come at the same time share a transaction, but not their errors."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import BaseModel
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars, get_contextvars

from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.specs import QualitySpec
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import TaskRequest, group_commit, submissions
from aiplatform.server.queue.service.group_commit import GroupCommit, Submission, Submitted
from aiplatform.server.queue.service.kinds import Prepared
from tests.factories import make_context, make_project
from tests.server.queue.conftest import ScriptedKind

LOCKED = uuid4()
NO_SUCH = uuid4()
FAULTY = uuid4()
UNSENT = uuid4()


class Out(BaseModel):
    """The answer to a submission in these tests."""

    uuid: UUID
    name: str


def render(_session: Session, _context: object, task: Task) -> Out:
    return Out(uuid=task.uuid, name=task.name)


def prepare(self: ScriptedKind, session: Session, context: Any, spec: Any) -> Prepared:
    if spec.dataset.dataset == NO_SUCH:
        raise NotFound(resource="dataset")
    if spec.dataset.dataset == FAULTY:
        raise RuntimeError("a fault of ours")
    if spec.dataset.dataset == UNSENT:
        session.execute(text("SELECT CAST(:text AS text)"), {"text": "a\0b"})
    if spec.dataset.dataset == LOCKED:
        session.execute(text("SELECT FROM projects WHERE name = 'locked' FOR UPDATE"))
    return Prepared(spec)


@pytest.fixture(autouse=True)
def _prepare(kind: ScriptedKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedKind, "prepare", prepare)
    monkeypatch.setattr(ScriptedKind, "shares_commit", True)


@pytest.fixture
def ask(session: Session, project: Project) -> Callable[..., Submission]:
    def ask(
        name: str, dataset: UUID | None = None, *, of: Project = project, key: str | None = None
    ) -> Submission:
        context = make_context(session, of)
        spec = QualitySpec(dataset=DatasetRef(dataset=dataset or uuid4()))
        own = None if key is None else submissions.key_of(context, key)
        return Submission(context, TaskRequest(spec, name), own, name)

    return ask


@pytest.fixture
def other(session: Session) -> Project:
    return make_project(session)


def sent(*asked: Submission) -> list[Submitted | BaseException]:
    """Submit tasks at the same moment; return the answers or errors."""

    async def send() -> list[Submitted | BaseException]:
        together = GroupCommit(render)
        answers = (together.submit(one) for one in asked)
        return await asyncio.gather(*answers, return_exceptions=True)

    return asyncio.run(send())


def names(answers: list[Submitted | BaseException]) -> list[str]:
    return [one.answer.name if isinstance(one, Submitted) else repr(one) for one in answers]


def queued(session: Session) -> list[tuple[str, int, str]]:
    """Return name, project and transaction of all tasks, sorted by id."""
    session.rollback()
    columns = (Task.name, Task.project_id, text("CAST(tasks.xmin AS text)"))
    return [tuple(row) for row in session.execute(select(*columns).order_by(Task.id))]


def test_shared_transaction_logs_the_ids_of_all_its_requests(
    ask: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[Any] = []

    def noted(self: ScriptedKind, session: Session, context: Any, spec: Any) -> Prepared:
        bound.append(get_contextvars().get("request"))
        return Prepared(spec)

    monkeypatch.setattr(ScriptedKind, "prepare", noted)
    asked = []
    for name in ("one", "two"):
        with bound_contextvars(request=f"id-of-{name}"):
            asked.append(ask(name))
    assert names(sent(*asked)) == ["one", "two"]
    assert bound == ["id-of-one,id-of-two"] * 2


def test_submissions_to_two_projects_share_one_transaction(
    session: Session, ask: Callable[..., Submission], project: Project, other: Project
) -> None:
    wanted = [(f"task {n}", (project, other)[n % 2]) for n in range(20)]
    answers = sent(*(ask(name, of=of) for name, of in wanted))
    assert names(answers) == [name for name, _ in wanted]
    rows = queued(session)
    assert [row[:2] for row in rows] == [(name, of.id) for name, of in wanted]
    assert len({row[2] for row in rows}) == 1


def test_refused_submission_does_not_affect_the_others(
    session: Session, ask: Callable[..., Submission]
) -> None:
    first, refused, last = sent(ask("first", key="a"), ask("bad", NO_SUCH, key="b"), ask("last"))
    assert names([first, last]) == ["first", "last"]
    assert isinstance(refused, NotFound)
    assert sorted(row[0] for row in queued(session)) == ["first", "last"]
    # The refused submission left no key: repeated, it is checked and refused again.
    assert isinstance(sent(ask("bad", NO_SUCH, key="b"))[0], NotFound)
    assert names(sent(ask("good", key="b"))) == ["good"]


@pytest.mark.parametrize(
    ("dataset", "kind_of_error"), [(FAULTY, RuntimeError), (UNSENT, DBAPIError)]
)
def test_faulty_submission_does_not_affect_the_others(
    session: Session, ask: Callable[..., Submission], dataset: UUID, kind_of_error: type
) -> None:
    first, faulty, last = sent(ask("first"), ask("faulty", dataset), ask("last"))
    assert names([first, last]) == ["first", "last"]
    assert isinstance(faulty, kind_of_error)
    assert sorted(row[0] for row in queued(session)) == ["first", "last"]


def test_submissions_with_a_lost_commit_answer_are_not_repeated(
    session: Session, ask: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit_and_lose_the_answer(shared: Session) -> None:
        shared.commit()
        raise OperationalError("COMMIT", {}, psycopg.OperationalError("cut off"))

    monkeypatch.setattr(group_commit, "commit", commit_and_lose_the_answer)
    answers = sent(ask("first"), ask("last"))
    assert [type(answer) for answer in answers] == [OperationalError] * 2
    assert [row[0] for row in queued(session)] == ["first", "last"]


def test_unreachable_database_is_tried_once_for_all_submissions(
    ask: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []

    def away(_session: Session, asked: list[Submission], _render: object) -> None:
        waited.append(len(asked))
        raise OperationalError("BEGIN", {}, psycopg.OperationalError("connection refused"))

    monkeypatch.setattr(group_commit, "_submit", away)
    answers = sent(*(ask(f"task {n}") for n in range(5)))
    assert [type(answer) for answer in answers] == [OperationalError] * 5
    assert waited == [5]


def test_kind_that_looks_for_other_tasks_gets_a_transaction_of_its_own(
    session: Session, ask: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedKind, "shares_commit", False)
    sent(ask("first"), ask("last"))
    assert len({row[2] for row in queued(session)}) == 2


def test_submissions_with_one_key_queue_one_task(
    session: Session, ask: Callable[..., Submission], other: Project
) -> None:
    asked = [ask("same", key="k"), ask("same", key="k"), ask("same", of=other, key="k")]
    answers = sent(*asked)
    assert all(isinstance(answer, Submitted) for answer in answers)
    assert sorted(one.before for one in answers if isinstance(one, Submitted)) == [
        False, False, True,
    ]  # fmt: skip
    assert len(queued(session)) == 2
    again = sent(*asked[1:], ask("more", key="l"))
    assert [one.before for one in again if isinstance(one, Submitted)] == [True, True, False]
    assert len(queued(session)) == 3
    reused, fine = sent(ask("another", key="k"), ask("fine"))
    assert type(reused).__name__ == "KeyReused"
    assert names([fine]) == ["fine"]


@pytest.fixture
def lock(session: Session) -> Iterator[Session]:
    """Hold a lock that submissions for ``LOCKED`` wait for, until it is rolled back."""
    make_project(session, name="locked")
    with transaction() as holder:
        holder.execute(text("SELECT FROM projects WHERE name = 'locked' FOR UPDATE"))
        yield holder


def test_submission_that_waits_for_a_lock_delays_no_other(
    session: Session, ask: Callable[..., Submission], lock: Session
) -> None:
    asked = [ask("quick 1"), ask("waits", LOCKED), ask("quick 2")]

    async def send() -> None:
        together = GroupCommit(render)
        first, waits, last = (asyncio.create_task(together.submit(one)) for one in asked)
        await asyncio.wait_for(asyncio.gather(first, last), 10)
        # Later submissions don't wait either, even if as many wait for the lock as there are lanes.
        more = [asyncio.create_task(together.submit(ask("more", LOCKED))) for _ in range(2)]
        await asyncio.sleep(0.2)
        await asyncio.wait_for(together.submit(ask("later")), 10)
        assert not any(one.done() for one in (waits, *more))
        lock.rollback()
        await asyncio.wait_for(asyncio.gather(waits, *more), 10)

    asyncio.run(send())
    expected = ["later", "more", "more", "quick 1", "quick 2", "waits"]
    assert sorted(row[0] for row in queued(session)) == expected

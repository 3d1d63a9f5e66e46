"""Task submission through the API. The response for each ``Idempotency-Key`` is kept for a day."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel
from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.errors import KeyReused
from aiplatform.server.queue.models import Task, TaskSubmission
from aiplatform.server.queue.service.queue import TaskRequest, queue_all

RETENTION = timedelta(hours=24)

Render = Callable[[Session, ProjectContext, Task], BaseModel]
"""A function that renders the response for a newly queued task."""


class Key(NamedTuple):
    """An ``Idempotency-Key`` in a project.

    ``name`` begins with the user's id, so keys of different users are never the same.
    """

    project_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to queue a task.

    With a ``key``, repeating the same ``request`` returns the same response.
    """

    wanted: TaskRequest
    key: Key | None = None
    request: Any = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The response to a submission.

    This is a rendered model, or the JSON of the first response if the task had been queued
    ``before``.
    """

    answer: Any
    before: bool = False


def key_of(context: ProjectContext, key: str) -> Key:
    """Return the caller's ``key``, made unique within the project and for the user."""
    return Key(context.project_id, f"{context.principal.user_id}:{key}")


TAKE_KEYS = text("""
INSERT INTO task_submissions (project_id, key, request_hash)
SELECT project_id, key, request_hash
FROM unnest(CAST(:projects AS integer[]), CAST(:keys AS text[]), CAST(:hashes AS text[]))
     AS r(project_id, key, request_hash)
ORDER BY project_id, key
ON CONFLICT DO NOTHING RETURNING project_id, key
""")
"""Statement that takes the keys in sorted order, so that two transactions can't deadlock."""

STORE_ANSWERS = text("""
UPDATE task_submissions s SET answer = r.answer
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(project_id integer, key text, answer jsonb)
WHERE s.project_id = r.project_id AND s.key = r.key
""")


def take_keys(session: Session, requests: Mapping[Key, Any]) -> dict[Key | None, Any]:
    """Mark the keys of these requests as used and return the responses for keys used before.

    If the first request with a key is still in progress, the second one waits here until the first
    one's transaction ends.

    Raises:
        KeyReused: a key was used for a different request before.
    """
    hashes = {
        key: hashlib.sha256(dumps(request).encode()).hexdigest()
        for key, request in requests.items()
    }
    values = {
        "projects": [key.project_id for key in hashes],
        "keys": [key.name for key in hashes],
        "hashes": list(hashes.values()),
    }
    taken = {Key(row.project_id, row.key) for row in session.execute(TAKE_KEYS, values)}
    known = hashes.keys() - taken
    if not known:
        return {}
    rows = session.scalars(
        select(TaskSubmission).where(
            tuple_(TaskSubmission.project_id, TaskSubmission.key).in_(known)
        )
    )
    before = {Key(row.project_id, row.key): row for row in rows}
    if any(row.request_hash != hashes[key] for key, row in before.items()):
        raise KeyReused
    return {key: row.answer for key, row in before.items()}


def store_answers(session: Session, answers: Mapping[Key, Any]) -> None:
    """Store the responses by key, in the transaction that queues the tasks."""
    rows = [
        {"project_id": key.project_id, "key": key.name, "answer": jsonable(answer)}
        for key, answer in answers.items()
    ]
    session.execute(STORE_ANSWERS, {"rows": dumps(rows)})


def submit_all(
    session: Session, context: ProjectContext, asked: Sequence[Submission], render: Render
) -> list[Submitted]:
    """Queue all tasks or none. A task already queued with the same key is returned instead.

    Raises:
        KeyReused: a key was used for a different request before.
        Problem: see :func:`~aiplatform.server.queue.service.queue.prepare_new_task`.
    """
    keyed = {one.key: one.request for one in asked if one.key is not None}
    before = take_keys(session, keyed) if keyed else {}
    new = [one for one in asked if one.key not in before]
    tasks = queue_all(session, context, [one.wanted for one in new])
    answers = {
        id(one): render(session, context, task) for one, task in zip(new, tasks, strict=True)
    }
    if told := {one.key: answers[id(one)] for one in new if one.key is not None}:
        store_answers(session, told)
    return [
        Submitted(before[one.key], before=True)
        if one.key in before
        else Submitted(answers[id(one)])
        for one in asked
    ]


def delete_old_keys(session: Session) -> None:
    """Delete keys older than a day."""
    session.execute(
        delete(TaskSubmission).where(TaskSubmission.created_at < func.clock_timestamp() - RETENTION)
    )

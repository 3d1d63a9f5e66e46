"""Idempotent submission: the answer to each ``Idempotency-Key``, kept for a day."""

import hashlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.errors import KeyReused
from aiplatform.server.queue.models import TaskSubmission

RETENTION = timedelta(hours=24)


class Key(NamedTuple):
    """The identity of a request. The name contains the user, so users can't clash."""

    project_id: int
    name: str


def key_of(context: ProjectContext, key: str) -> Key:
    """Return the identity of the caller's ``key`` in the project."""
    return Key(context.project_id, f"{context.principal.user_id}:{key}")


TAKE_KEYS = text("""
INSERT INTO task_submissions (project_id, key, request_hash)
SELECT project_id, key, request_hash
FROM unnest(CAST(:projects AS integer[]), CAST(:keys AS text[]), CAST(:hashes AS text[]))
     AS r(project_id, key, request_hash)
ORDER BY project_id, key
ON CONFLICT DO NOTHING RETURNING project_id, key
""")
"""Statement that takes the keys, in their order, so that two transactions can't deadlock."""

STORE_ANSWERS = text("""
UPDATE task_submissions s SET answer = r.answer
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(project_id integer, key text, answer jsonb)
WHERE s.project_id = r.project_id AND s.key = r.key
""")


RELEASE_KEYS = text("""
DELETE FROM task_submissions WHERE (project_id, key) IN (
    SELECT * FROM unnest(CAST(:projects AS integer[]), CAST(:keys AS text[])))
""")


def take_keys(session: Session, requests: Mapping[Key, Any]) -> dict[Key | None, Any]:
    """Take the keys for these requests; return the answers to those that came before.

    If the first request with a key is still in progress, the second waits here for its transaction.

    Raises:
        KeyReused: when a key came with another request.
    """
    hashes = {
        key: hashlib.sha256(dumps(request).encode()).hexdigest()
        for key, request in requests.items()
    }
    values = {**_columns(hashes), "hashes": list(hashes.values())}
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
    """Store the answers by key, in the transaction that queues the tasks."""
    rows = [
        {"project_id": key.project_id, "key": key.name, "answer": jsonable(answer)}
        for key, answer in answers.items()
    ]
    session.execute(STORE_ANSWERS, {"rows": dumps(rows)})


def release_keys(session: Session, keys: Collection[Key]) -> None:
    """Delete keys that were taken in this transaction but whose requests were refused."""
    session.execute(RELEASE_KEYS, _columns(keys))


def _columns(keys: Collection[Key]) -> dict[str, Any]:
    return {
        "projects": [key.project_id for key in keys],
        "keys": [key.name for key in keys],
    }


def delete_old_keys(session: Session) -> None:
    """Delete keys that are older than a day."""
    session.execute(
        delete(TaskSubmission).where(TaskSubmission.created_at < func.clock_timestamp() - RETENTION)
    )

"""Idempotent submission: what was answered to each ``Idempotency-Key``, kept for a day."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks.errors import KeyReused
from aiplatform.server.tasks.models import TaskSubmission

KEPT = timedelta(hours=24)


def _own(context: ProjectContext, key: str) -> str:
    """Two people who choose the same key mean two requests."""
    return f"{context.principal.user_id}:{key}"


BEGIN = text("""
INSERT INTO task_submissions (project_id, key, request_hash)
SELECT :project_id, key, request_hash
FROM unnest(CAST(:keys AS text[]), CAST(:hashes AS text[])) AS r(key, request_hash)
ORDER BY key
ON CONFLICT DO NOTHING RETURNING key
""")
"""By key, so that two requests with several keys in common can't wait for each other."""

REMEMBER = text("""
UPDATE task_submissions s SET answer = r.answer
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(key text, answer jsonb)
WHERE s.project_id = :project_id AND s.key = r.key
""")


def begin(session: Session, context: ProjectContext, requests: Mapping[str, Any]) -> dict[str, Any]:
    """Take the keys for these requests; returns what those of them were answered that came before.

    A second request waits here for the transaction of a first that is still being answered.

    Raises:
        KeyReused: when a key came with another request.
    """
    hashes = {
        _own(context, key): hashlib.sha256(dumps(request).encode()).hexdigest()
        for key, request in requests.items()
    }
    taken = set(
        session.scalars(
            BEGIN,
            {
                "project_id": context.project_id,
                "keys": list(hashes),
                "hashes": list(hashes.values()),
            },
        )
    )
    if len(taken) == len(hashes):
        return {}
    before = {
        row.key: row
        for row in session.scalars(
            select(TaskSubmission).where(
                TaskSubmission.project_id == context.project_id,
                TaskSubmission.key.in_(hashes.keys() - taken),
            )
        )
    }
    if any(row.request_hash != hashes[key] for key, row in before.items()):
        raise KeyReused
    names = {_own(context, key): key for key in requests}
    return {names[key]: row.answer for key, row in before.items()}


def remember(session: Session, context: ProjectContext, answers: Mapping[str, Any]) -> None:
    """Keep the answers by key, in the transaction of what was done."""
    rows = [
        {"key": _own(context, key), "answer": jsonable(answer)} for key, answer in answers.items()
    ]
    session.execute(REMEMBER, {"project_id": context.project_id, "rows": dumps(rows)})


def forget_old(session: Session) -> None:
    """Let go of keys that are older than a day."""
    session.execute(
        delete(TaskSubmission).where(TaskSubmission.created_at < func.clock_timestamp() - KEPT)
    )

"""Verification of the audit trail on request: functions that start it and return its result.

A child process does the work, because hashing millions of rows in the API would delay all other
requests. The child holds an advisory lock while it runs, so that every API process can tell that a
verification is running.
"""

import os
import subprocess
import sys
import threading
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg.types.json import Jsonb
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.audit.errors import VerificationRunning
from aiplatform.server.audit.models import AuditVerification
from aiplatform.server.audit.rules.findings import Verdict
from aiplatform.server.audit.service.archives import rows_of_archive
from aiplatform.server.audit.service.verification import verify_database
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.database import AdvisoryLock, after_commit
from aiplatform.server.core.events import libpq_url
from aiplatform.server.core.settings import get_settings

log = structlog.get_logger(__name__)

START_SECONDS = 30
"""Seconds within which the child process must take the advisory lock."""
INTERRUPTED = "The process that verified the trail was interrupted. Request another verification."
LOWER_PRIORITY = 10
PROGRAM = (
    "import sys; from aiplatform.server.audit.service.requested_verification import run;"
    " run(sys.argv[1])"
)
_LOCK_IS_HELD = text("""
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = :key AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
""")
_ENTRIES = "SELECT audit_id, uuid FROM audit_entries WHERE audit_id = ANY(%s)"
_STORE = """
UPDATE audit_verifications SET ended_at = clock_timestamp(), result = %s, error = %s
WHERE uuid = %s AND ended_at IS NULL
"""


def newest(session: Session) -> AuditVerification | None:
    """Return the most recently requested verification; None if there was none."""
    return session.scalar(select(AuditVerification).order_by(AuditVerification.id.desc()).limit(1))


def is_running(session: Session, verification: AuditVerification) -> bool:
    """Return True if a verification has not ended and its process is alive or being started."""
    if verification.ended_at is not None:
        return False
    age = session.scalars(select(func.clock_timestamp() - verification.started_at)).one()
    if age.total_seconds() < START_SECONDS:
        return True
    key = int(AdvisoryLock.AUDIT_VERIFICATION)
    return bool(session.scalar(_LOCK_IS_HELD, {"key": key}))


def request(session: Session, actor: Actor) -> AuditVerification:
    """Start a verification of the whole trail, and return it.

    Raises:
        VerificationRunning: when another verification has not ended.
    """
    last = newest(session)
    if last is not None and last.ended_at is None:
        if is_running(session, last):
            raise VerificationRunning
        last.ended_at = session.scalar(select(func.clock_timestamp()))
        last.error = INTERRUPTED
        session.flush()
    made = AuditVerification(
        user_id=actor.user_id, user_uuid=actor.user_uuid, username=actor.username
    )
    try:
        with session.begin_nested():
            session.add(made)
            session.flush()
    except IntegrityError as error:
        raise VerificationRunning from error
    session.refresh(made)
    audit.record(session, actor, AuditAction.AUDIT_VERIFICATION_REQUESTED, "audit", made.uuid)
    uuid = made.uuid
    after_commit(session, lambda: _start(uuid))
    return made


def _start(uuid: UUID) -> None:
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, str(uuid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    # An exited child process stays in the process table until its parent waits for it.
    threading.Thread(target=child.wait, name="audit-verification", daemon=True).start()


def run(uuid: str) -> None:
    """Verify the trail and store the result. The child process calls this."""
    os.nice(LOWER_PRIORITY)
    url = libpq_url(get_settings().database_url)
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        # The lock is released when the connection ends, even if the process is killed.
        connection.execute("SELECT pg_advisory_lock(%s)", [int(AdvisoryLock.AUDIT_VERIFICATION)])
        try:
            verdict = verify_database(url, archived=rows_of_archive)
        except Exception as error:  # the request must get an answer, whatever went wrong
            log.exception("the audit trail could not be verified")
            connection.execute(_STORE, [None, f"{type(error).__name__}: {error}"[:500], uuid])
            return
        connection.execute(_STORE, [Jsonb(_result(connection, verdict)), None, uuid])


def _result(connection: "psycopg.Connection[Any]", verdict: Verdict) -> dict[str, Any]:
    rows = [finding.row for finding in verdict.findings if finding.row is not None]
    entries = dict(connection.execute(_ENTRIES, [rows]).fetchall())
    return {
        "rows": verdict.rows,
        "seals": verdict.seals,
        "unsealed": verdict.unsealed,
        "archived": verdict.archived,
        "head": None if verdict.head is None else str(verdict.head),
        "findings": [
            {
                "kind": finding.kind.value,
                "text": finding.text,
                "row": finding.row,
                "seal": finding.seal,
                "entry": str(entries[finding.row]) if finding.row in entries else None,
            }
            for finding in verdict.findings
        ],
        "more": verdict.more,
    }

"""Tests of verifications requested by a user: results, refusals and interruptions."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.app import create_app
from aiplatform.server.core.database import AdvisoryLock, session_factory
from aiplatform.server.identity.models import User
from tests.conftest import Api
from tests.factories import make_token
from tests.openapi_checks import CheckedClient
from tests.server.audit.helpers import seal, write

PATH = "audit/verification"


@pytest.fixture
def admin(fresh_database: str) -> Iterator[Api]:
    """Start the application with a database of its own; return a client of its administrator."""
    with (
        CheckedClient(create_app(), base_url="http://127.0.0.1:8400") as client,
        session_factory()() as session,
    ):
        user = session.scalars(select(User).where(User.username == "admin")).one()
        yield Api(client, make_token(session, user))


def result(admin: Api) -> Any:
    """Wait until the last verification has ended, and return it."""
    deadline = time.monotonic() + 60
    while (found := admin.get(PATH).json())["state"] == "running":
        assert time.monotonic() < deadline, "the verification does not end"
        time.sleep(0.1)
    return found


def verify(admin: Api) -> Any:
    """Request a verification and return its result."""
    answer = admin.post(PATH)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "running"
    found = result(admin)
    assert found["uuid"] == answer.json()["uuid"]
    return found


def test_without_a_request_there_is_no_result(admin: Api) -> None:
    assert admin.get(PATH).json() is None


def test_intact_trail_is_reported_with_its_figures(admin: Api) -> None:
    write(5)
    head = seal()
    found = verify(admin)
    assert (found["state"], found["findings"], found["error"]) == ("intact", [], None)
    assert found["rows"] >= 5
    assert found["head"] == str(head)
    assert found["user"]["username"] == "admin"
    assert found["ended_at"] > found["started_at"]
    [entry] = admin.get("audit", params={"action": "audit:verification_requested"}).json()["items"]
    assert entry["action"] == AuditAction.AUDIT_VERIFICATION_REQUESTED
    assert entry["resource_id"] == found["uuid"]


def test_altered_entry_is_reported_as_first_finding(admin: Api, superuser: Any) -> None:
    numbers = write(4)
    seal()
    superuser.execute("UPDATE audit_logs SET action = 'x' WHERE id = %s", [numbers[1]])
    superuser.execute("DELETE FROM audit_logs WHERE id = %s", [numbers[2]])
    [[uuid]] = superuser.execute(
        "SELECT uuid FROM audit_entries WHERE audit_id = %s", [numbers[1]]
    ).fetchall()
    found = verify(admin)
    assert found["state"] == "broken"
    first, second = found["findings"][:2]
    assert (first["kind"], first["row"], first["entry"]) == ("altered", numbers[1], str(uuid))
    assert (second["kind"], second["row"]) == ("missing", numbers[2])


def test_second_request_is_refused_while_one_runs(admin: Api, superuser: Any) -> None:
    # The child process waits for the lock, as if it were reading a long trail.
    superuser.execute("SELECT pg_advisory_lock(%s)", [int(AdvisoryLock.AUDIT_VERIFICATION)])
    assert admin.post(PATH).status_code == 202
    refused = admin.post(PATH)
    assert (refused.status_code, refused.json()["code"]) == (409, "audit.verification_running")
    assert admin.get(PATH).json()["state"] == "running"
    superuser.execute("SELECT pg_advisory_unlock(%s)", [int(AdvisoryLock.AUDIT_VERIFICATION)])
    assert result(admin)["state"] == "intact"


def test_interrupted_verification_counts_as_failed_and_another_can_start(
    admin: Api, url: str
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO audit_verifications (username, started_at)"
            " VALUES ('lin', now() - interval '1 hour')"
        )
    found = admin.get(PATH).json()
    assert found["state"] == "failed"
    assert "interrupted" in found["error"]
    assert verify(admin)["state"] == "intact"


def test_old_verification_runs_while_its_process_holds_the_lock(admin: Api, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [int(AdvisoryLock.AUDIT_VERIFICATION)])
        connection.execute(
            "INSERT INTO audit_verifications (username, started_at)"
            " VALUES ('lin', now() - interval '1 hour')"
        )
        assert admin.get(PATH).json()["state"] == "running"
        assert admin.post(PATH).status_code == 409


def test_unreadable_trail_is_reported_as_failed(admin: Api, superuser: Any) -> None:
    superuser.execute("ALTER TABLE audit_seals RENAME TO hidden_seals")
    try:
        found = verify(admin)
    finally:
        superuser.execute("ALTER TABLE hidden_seals RENAME TO audit_seals")
    assert found["state"] == "failed"
    assert "audit_seals" in found["error"]

"""Attack: a clock jumps by hours, forwards or back.

The database's clock decides what expires. To simulate a jump, the tests move the stored times in
the other direction, which has the same effect on every comparison. The last test checks that this
file lists every module that reads its machine's clock, with the reason why a jump does no harm.
"""

from __future__ import annotations

import ast
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

import aiplatform.server
from aiplatform.protocol.enums import LogStream
from aiplatform.server.audit.service.verification import verify_database
from aiplatform.server.execution.models import ExternalRun
from aiplatform.server.execution.service.attempts import Chunk
from aiplatform.server.execution.service.external import limit_rate
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.models import AuthSession, AuthToken, LoginFailure, PasswordReset
from aiplatform.server.identity.service import second_factor
from tests.conftest import Api
from tests.factories import PASSWORD, make_user
from tests.openapi_checks import CheckedClient
from tests.server.audit.conftest import superuser, url
from tests.server.audit.helpers import seal, write
from tests.server.identity.conftest import age_used_tokens, me, renew, sign_in
from tests.server.identity.test_second_factor import enrol

__all__ = ["superuser", "url"]

HOURS = 5
BOTH_WAYS = pytest.mark.parametrize("hours", [HOURS, -HOURS], ids=["forwards", "back"])


def jump(session: Session, column: Any, hours: float) -> None:
    """Simulate a jump of the database's clock by moving all times in a column."""
    model = column.class_
    session.execute(update(model).values({column: column - timedelta(hours=hours)}))
    session.commit()


@BOTH_WAYS
def test_clock_jump_does_not_extend_the_wait_after_failed_sign_ins(
    client: CheckedClient, session: Session, hours: float
) -> None:
    user = make_user(session)
    for _ in range(rules.FREE_FAILURES + 3):
        sign_in(client, user.username, "wrong one")
    jump(session, LoginFailure.failed_at, hours)
    answer = sign_in(client, user.username)
    if hours > 0:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 429
        assert answer.json()["seconds"] <= rules.MAX_WAIT.total_seconds()


@BOTH_WAYS
def test_used_refresh_token_after_clock_jump_ends_the_session(
    client: CheckedClient, session: Session, hours: float
) -> None:
    first = sign_in(client, make_user(session).username).json()
    second = renew(client, first["refresh_token"]).json()
    age_used_tokens(session, hours * 3600)
    assert renew(client, first["refresh_token"]).status_code == 401
    assert me(client, second["access_token"]) == 401


def test_repeated_refresh_after_small_step_back_is_accepted(
    client: CheckedClient, session: Session
) -> None:
    first = sign_in(client, make_user(session).username).json()
    renew(client, first["refresh_token"])
    age_used_tokens(session, -2)
    assert renew(client, first["refresh_token"]).status_code == 200


@BOTH_WAYS
def test_session_can_be_refreshed_after_clock_jump(
    client: CheckedClient, session: Session, hours: float
) -> None:
    pair = sign_in(client, make_user(session).username).json()
    jump(session, AuthToken.expires_at, hours)
    assert me(client, pair["access_token"]) == (401 if hours > 0 else 200)
    assert renew(client, pair["refresh_token"]).status_code == 200


@BOTH_WAYS
def test_ended_session_after_clock_jump_stays_ended(
    client: CheckedClient, session: Session, hours: float
) -> None:
    pair = sign_in(client, make_user(session).username).json()
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    assert client.post("/api/v1/auth/logout", headers=headers).status_code == 204
    jump(session, AuthSession.ended_at, hours)
    assert me(client, pair["access_token"]) == 401
    assert renew(client, pair["refresh_token"]).status_code == 401


@BOTH_WAYS
def test_password_reset_can_be_requested_again_after_clock_jump(
    client: CheckedClient, session: Session, hours: float
) -> None:
    user = make_user(session)
    sent = PasswordReset(
        user_id=user.id,
        token_hash=secrets.token_bytes(32),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )
    session.add(sent)
    session.commit()
    assert queries.reset_sent_since(session, user.id, rules.RESET_PAUSE)
    jump(session, PasswordReset.created_at, hours)
    assert not queries.reset_sent_since(session, user.id, rules.RESET_PAUSE)


@BOTH_WAYS
def test_totp_code_is_accepted_once_and_only_at_its_time(
    client: CheckedClient, session: Session, api: Callable[..., Api],
    monkeypatch: pytest.MonkeyPatch, hours: float,
) -> None:  # fmt: skip
    """Check that a code is refused while the API's clock is wrong, and then accepted once."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(second_factor.time, "time", lambda: now[0])
    user = make_user(session)
    phone, _ = enrol(api(user))
    form = {"username": user.username, "password": PASSWORD}

    def status(code: str) -> int:
        return client.post("/api/v1/auth/token", data={**form, "totp": code}).status_code

    now[0] += 60
    right = phone.code()
    now[0] += hours * 3600
    assert status(right) == 401
    now[0] -= hours * 3600
    assert status(right) == 200
    assert status(right) == 401


@BOTH_WAYS
def test_log_of_external_run_is_kept_after_clock_jump_of_the_api(hours: float) -> None:
    now = time.time()
    run = ExternalRun(
        log_allowance=0.0,
        log_lost_bytes=0,
        log_filled_at=datetime.fromtimestamp(now - hours * 3600, UTC),
    )
    lines = [Chunk(LogStream.STDOUT, "x" * 99 + "\n", now + second) for second in range(5)]
    kept = [
        line
        for line in lines
        if line in limit_rate(run, [line], rate=1000, burst=10_000, now=line.time)
    ]
    assert len(kept) >= 4
    assert run.log_filled_at is not None
    assert run.log_filled_at.timestamp() <= now + 5


@BOTH_WAYS
def test_audit_trail_written_across_clock_jump_verifies(
    url: str, superuser: Any, hours: float
) -> None:
    write(5)
    seal()
    rows = write(5)
    for table, key in (("audit_logs", "id"), ("audit_entries", "audit_id")):
        superuser.execute(
            f"UPDATE {table} SET created_at = created_at + %s WHERE {key} = ANY(%s)",
            [timedelta(hours=hours), rows],
        )
    seal()
    write(5)
    seal()
    assert verify_database(url).findings == []


CLOCK_READERS = {
    "core/garbage_collection.py": "chooses files; the database's clock decides what is deleted",
    "core/mail.py": "the date of a message",
    "core/ratelimits.py": "names the window; a jump begins another one",
    "core/results.py": "times of Celery's own records, shown only",
    "core/spool.py": "compares with times of files, which are of the same clock",
    "experiments/service/evaluations.py": "shown only",
    "identity/endpoints/invitations.py": "shown only",
    "identity/service/second_factor.py": "codes are of this clock, RFC 6238; each counts once",
    "notifications/service/webhook_calls.py": (
        "signs calls, and signs them twice for longer or shorter"
    ),
    "notifications/service/announce.py": "shown only",
    "execution/endpoints/runs.py": "bounds the times that runs report",
    "execution/runner/writers.py": "times of log lines",
    "execution/runner/process.py": "times of log lines",
    "execution/runner/sampling.py": "times of measurements",
    "execution/runner/attempt.py": "times of traces",
    "telemetry/service/ingest.py": "times of metrics that come without",
    "execution/service/external.py": "fills the allowance of a log; never from the future",
}
"""Modules that read their machine's clock, with the reasons why a jump does no harm."""


def clock_readers() -> Iterator[str]:
    """Yield the paths of the server modules that read the machine's clock."""
    root = Path(aiplatform.server.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                if called in {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow",
                              "date.today", "datetime.today"}:  # fmt: skip
                    yield path.relative_to(root).as_posix()


def test_server_modules_that_read_the_clock_are_all_listed() -> None:
    assert set(clock_readers()) == set(CLOCK_READERS)

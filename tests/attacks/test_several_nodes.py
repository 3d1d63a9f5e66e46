"""Attack: a worker writes after losing its lease, and clients exploit delays between replicas.

In the tests with two workers, the first worker is considered lost but still runs its task, which
the second worker has claimed in the meantime. In the tests with two replicas, two API processes
share one database and broker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import LogStream, TaskStatus
from aiplatform.protocol.messages import Metrics, Progress
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.execution.service import attempts, nodes
from aiplatform.server.execution.service.attempts import Chunk, Claim
from aiplatform.server.identity.models import AuthSession, User
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import Outcome
from aiplatform.server.telemetry.rules import Alert, AlertKind
from aiplatform.server.telemetry.service import telemetry
from aiplatform.server.telemetry.service.telemetry import Block
from tests.conftest import environment
from tests.factories import make_token, make_user
from tests.openapi_checks import CheckedClient
from tests.server.core.test_ratelimits import FEW, middle_of_the_hour
from tests.server.identity.conftest import age_used_tokens, me, renew, sign_in
from tests.server.identity.test_invitations import accept, invite
from tests.server.queue.conftest import kind, make_worker, project, submit

__all__ = ["kind", "make_worker", "middle_of_the_hour", "project", "submit"]

Write = Callable[[Session, Claim], object]

WRITES: dict[str, Write] = {
    "renewal": attempts.renew,
    "metrics": lambda session, claim: attempts.write_telemetry(
        session, claim, metrics=[Metrics(step=1, values={"loss": 0.0})]
    ),
    "log": lambda session, claim: attempts.write_telemetry(
        session, claim, chunks=[Chunk(LogStream.STDOUT, "forged\n", 1.8e9)], log_tail="forged"
    ),
    "progress": lambda session, claim: attempts.write_telemetry(
        session, claim, progress=Progress(value=0.99)
    ),
    "event": lambda session, claim: attempts.write_telemetry(
        session, claim, events=[("forged", {})]
    ),
    "checkpoint": lambda session, claim: attempts.add_checkpoint(session, claim, 7, []),
    "address of a server": lambda session, claim: attempts.set_ready(
        session, claim, "http://127.0.0.1:1", "forged"
    ),
    "success": lambda session, claim: attempts.end_attempt(
        session, claim, Outcome(TaskStatus.COMPLETED, {"forged": True})
    ),
    "failure": lambda session, claim: attempts.end_attempt(
        session, claim, Outcome(TaskStatus.FAILED, error="forged")
    ),
    "retry": lambda session, claim: attempts.retry(session, claim, "forged"),
    "pause": attempts.pause,
    "release": lambda session, claim: attempts.release(session, claim, "forged"),
    "alert": lambda session, claim: telemetry.raise_alert(
        session, claim, Alert(AlertKind.GPU_IDLE, 0.0)
    ),
    "telemetry": lambda session, claim: telemetry.store(
        session, claim, [Block(1.8e9, 1.0, ("cpu",))]
    ),
    "word of a node": lambda session, claim: nodes.set_state(session, claim, "failed", {}),
    "end of a node": nodes.leave,
    "renewal of a node": nodes.renew,
}
"""Everything that a worker writes for a task that it has leased, keyed by name."""


def traces(session: Session, task: Task) -> dict[str, Any]:
    """Return everything that the database has stored about a task."""
    session.rollback()
    of_task = {"task": task.id}
    found: dict[str, Any] = {}
    for table in ("task_leases", "task_scheduling", "task_attempts", "task_events", "task_nodes",
                  "task_checkpoints", "log_chunks", "metric_points"):  # fmt: skip
        rows = session.execute(
            text(f"SELECT to_jsonb(t) FROM {table} t WHERE task_id = :task ORDER BY 1"), of_task
        )
        found[table] = [row[0] for row in rows]
    found["task"] = session.execute(
        text("SELECT to_jsonb(t) FROM tasks t WHERE id = :task"), of_task
    ).scalar()
    return found


@pytest.fixture
def stale(session: Session, submit: Callable[..., Task], make_worker: Callable[..., int]) -> Any:
    """Create a task whose lease has expired and which a second worker has claimed.

    Return the task and the claims of the first and the second worker.
    """
    task = submit()
    first = attempts.claim_next(session, make_worker("w1"), ["default"])
    commit(session)
    assert first is not None
    assert attempts.expire(session, task.id, first.fence, "the worker was lost")
    commit(session)
    second = attempts.claim_next(session, make_worker("w2"), ["default"])
    commit(session)
    assert second is not None
    assert (first.task_id, first.fence) != (second.task_id, second.fence)
    return task, first, second


@pytest.mark.parametrize("what", WRITES)
def test_write_of_worker_that_lost_its_lease_is_refused(
    session: Session, stale: Any, what: str
) -> None:
    task, first, _ = stale
    before = traces(session, task)
    with pytest.raises(LostLease), transaction() as writing:
        WRITES[what](writing, first)
    assert traces(session, task) == before


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("by", [-1, 1, 1000])
def test_write_with_guessed_fencing_number_is_refused(
    session: Session, stale: Any, what: str, by: int
) -> None:
    task, _, second = stale
    before = traces(session, task)
    with pytest.raises(LostLease), transaction() as writing:
        WRITES[what](writing, replace(second, fence=second.fence + by))
    assert traces(session, task) == before


@pytest.fixture
def replicas(database_url: str, broker_url: str) -> Iterator[tuple[CheckedClient, CheckedClient]]:
    """Start two applications with low rate limits and the same database and broker."""
    from aiplatform.server.app import create_app

    with environment(**FEW, AIPLATFORM_BROKER_URL=broker_url):
        options: Any = {"base_url": "http://127.0.0.1:8400", "client": ("127.0.0.1", 1)}
        with (
            CheckedClient(create_app(), **options) as one,
            CheckedClient(create_app(), **options) as two,
        ):
            yield one, two


@pytest.mark.usefixtures("middle_of_the_hour")
def test_rate_limit_counts_requests_at_all_replicas(
    replicas: tuple[CheckedClient, CheckedClient], session: Session
) -> None:
    headers = {"Authorization": f"Bearer {make_token(session, make_user(session))}"}
    for replica in replicas:  # a token's first request at each replica counts against the address
        replica.get("/api/v1/users/me", headers=headers)
    turns = cycle(replicas)
    statuses = [next(turns).get("/api/v1/users/me", headers=headers).status_code for _ in range(8)]
    assert statuses == [200] * 5 + [429] * 3


@pytest.mark.usefixtures("middle_of_the_hour")
def test_sign_in_limit_counts_attempts_at_all_replicas(
    replicas: tuple[CheckedClient, CheckedClient], session: Session
) -> None:
    user, turns = make_user(session), cycle(replicas)
    statuses = [sign_in(next(turns), user.username, "wrong one").status_code for _ in range(5)]
    assert statuses == [401] * 3 + [429] * 2


@pytest.fixture
def open_replicas(app: Any, client: CheckedClient) -> Iterator[tuple[CheckedClient, CheckedClient]]:
    """Start two applications without rate limits."""
    from aiplatform.server.app import create_app

    options: Any = {"base_url": "http://127.0.0.1:8400", "client": ("127.0.0.1", 50000)}
    with CheckedClient(create_app(), **options) as other:
        yield client, other


def test_refresh_token_used_at_two_replicas_ends_the_session(
    open_replicas: tuple[CheckedClient, CheckedClient], session: Session
) -> None:
    one, two = open_replicas
    first = sign_in(one, make_user(session).username).json()
    second = renew(one, first["refresh_token"]).json()
    assert me(two, second["access_token"]) == 200
    age_used_tokens(session, 11)
    assert renew(two, first["refresh_token"]).status_code == 401
    assert [me(replica, second["access_token"]) for replica in open_replicas] == [401, 401]


def test_refresh_repeated_at_any_replica_leaves_one_valid_access_token(
    open_replicas: tuple[CheckedClient, CheckedClient], session: Session
) -> None:
    first = sign_in(open_replicas[0], make_user(session).username).json()
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda at: renew(open_replicas[at % 2], first["refresh_token"]), range(6))
        )
    assert {answer.status_code for answer in answers} == {200}
    for replica in open_replicas:
        assert [me(replica, a.json()["access_token"]) for a in answers].count(200) == 1


@pytest.mark.parametrize("how", ["signed out", "deactivated", "ended in the database"])
def test_session_ended_at_one_replica_is_refused_by_the_other(
    open_replicas: tuple[CheckedClient, CheckedClient], session: Session, admin: Any, how: str
) -> None:
    one, two = open_replicas
    user = make_user(session)
    pair = sign_in(one, user.username).json()
    assert [me(replica, pair["access_token"]) for replica in open_replicas] == [200, 200]
    if how == "signed out":
        headers = {"Authorization": f"Bearer {pair['access_token']}"}
        assert one.post("/api/v1/auth/logout", headers=headers).status_code == 204
    elif how == "deactivated":
        assert admin.post(f"users/{user.uuid}/deactivate").status_code == 200
    else:
        mine = AuthSession.user_id == user.id
        session.execute(
            update(AuthSession).where(mine).values(ended_at=datetime.now(UTC) - timedelta(hours=5))
        )
        session.commit()
    assert [me(replica, pair["access_token"]) for replica in open_replicas] == [401, 401]
    assert renew(two, pair["refresh_token"]).status_code == 401


def test_invitation_accepted_at_two_replicas_counts_once(
    open_replicas: tuple[CheckedClient, CheckedClient], admin: Any, session: Session
) -> None:
    made = invite(admin).json()

    def at(place: int) -> int:
        return int(accept(open_replicas[place % 2], made["token"]).status_code)

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(at, range(6)))
    assert sum(status < 400 for status in statuses) == 1, statuses
    session.rollback()
    invited = select(func.count()).select_from(User).where(User.email == made["email"])
    assert session.scalar(invited) == 1

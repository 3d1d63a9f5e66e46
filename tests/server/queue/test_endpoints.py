"""Tests of the task routes: lists, errors, and the live stream, which can be resumed."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import LogStream, TaskStatus
from aiplatform.protocol.messages import Metrics, Progress
from aiplatform.server.core.database import commit
from aiplatform.server.execution.service import attempts
from aiplatform.server.execution.service.attempts import Chunk
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import Outcome
from aiplatform.server.telemetry.service import feed
from tests.conftest import Api
from tests.factories import make_member, make_token


@pytest.fixture
def owner(api: Callable[[User | None], Api], session: Session, project: Project) -> Api:
    return api(session.get_one(User, project.owner_id))


@pytest.fixture
def held(session: Session, submit: Callable[..., Task], make_worker: Callable[..., int]) -> Any:
    submit()
    claimed = attempts.claim_next(session, make_worker(), ["default"])
    commit(session)
    return claimed


def test_reading_a_task_or_project_sends_few_statements(
    session: Session,
    owner: Api,
    project: Project,
    held: Any,
    sent: list[tuple[str, bool]],
) -> None:
    end(session, held)
    task = session.get_one(Task, held.task_id)
    for path, most in ((f"tasks/{task.uuid}", 2), (f"projects/{project.uuid}", 1)):
        sent.clear()
        assert owner.get(path).status_code == 200
        # Threads of the application may send notifications in the meantime.
        statements = [
            words
            for words, _ in sent
            if not words.startswith(("BEGIN", "SET ")) and "pg_notify" not in words
        ]
        assert len(statements) <= most, statements


def test_run_with_an_end_is_shown_with_its_attempts_and_inputs(
    session: Session, owner: Api, held: Any
) -> None:
    task = session.get_one(Task, held.task_id)
    running = owner.get(f"tasks/{task.uuid}").json()
    assert [one["ended_at"] for one in running["attempts"]] == [None]
    end(session, held)
    ended = owner.get(f"tasks/{task.uuid}").json()
    (attempt,) = ended["attempts"]
    assert (attempt["attempt"], attempt["outcome"]) == (1, "completed")
    assert attempt["started_at"] == running["attempts"][0]["started_at"]
    assert attempt["ended_at"].endswith("Z")
    assert (ended["after"], ended["nodes"], ended["inputs"]) == ([], [], [])


def tell(session: Session, held: Any, step: int, **more: Any) -> None:
    """Write the telemetry of one training step, as reported by a child process."""
    attempts.write_telemetry(
        session,
        held,
        metrics=[Metrics(step=step, values={"loss": 1 / step, "nan": float("nan")})],
        chunks=[Chunk(LogStream.STDOUT, f"line {step}\n", time.time())],
        first_seq=step,
        progress=Progress(value=step / 100, step=step, total_steps=100),
        **more,
    )
    commit(session)


def end(session: Session, held: Any) -> None:
    attempts.end_attempt(session, held, Outcome(TaskStatus.COMPLETED, result={"ok": True}))
    commit(session)


def watch(
    url: str, token: str, task: Task, last_event_id: str | None = None
) -> Iterator[tuple[str, str, Any]]:
    """Yield the event, id and data of each message in a task's live stream."""
    return stream(f"{url}/api/v1/tasks/{task.uuid}/events", token, last_event_id)


def stream(
    url: str, token: str, last_event_id: str | None = None
) -> Iterator[tuple[str, str, Any]]:
    """Yield the event, id and data of each message in a stream."""
    headers = {"Authorization": f"Bearer {token}"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    with httpx.stream("GET", url, headers=headers, timeout=20) as response:
        assert response.status_code == 200, response.read()
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
                fields = {}


def token_of(session: Session, project: Project) -> str:
    return make_token(session, session.get_one(User, project.owner_id))


def test_list_filtered_by_name_matches_the_whole_name(
    session: Session, owner: Api, project: Project, submit: Any
) -> None:
    tasks = [submit() for _ in range(4)]
    for task, name in zip(tasks, ["eval", "eval", "eval 2", "Eval"], strict=True):
        task.name = name
    tasks[0].status = "paused"
    commit(session)
    path = f"projects/{project.uuid}/tasks"

    def named(name: str, **wanted: Any) -> list[str]:
        answer = owner.get(path, params={"name": name, **wanted})
        assert answer.status_code == 200, answer.text
        return [task["uuid"] for task in answer.json()["items"]]

    assert named("eval") == [str(tasks[1].uuid), str(tasks[0].uuid)]
    assert named("eval", status="paused") == [str(tasks[0].uuid)]
    assert named("eval", type="training") == []
    assert named("eval", dead=True) == []
    assert named("eva") == named("e\x00val 3") == []
    first = owner.get(path, params={"name": "eval", "limit": 1}).json()
    assert named("eval", cursor=first["next_cursor"]) == [str(tasks[0].uuid)]


def test_list_is_filtered_and_paged(owner: Api, project: Project, submit: Any) -> None:
    tasks = [submit() for _ in range(5)]
    path = f"projects/{project.uuid}/tasks"
    seen, cursor = [], None
    while True:
        page = owner.get(path, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["uuid"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [str(task.uuid) for task in reversed(tasks)]
    assert owner.get(path, params={"status": "running"}).json()["items"] == []
    assert owner.get(path, params={"type": "training"}).json()["items"] == []
    assert owner.get(path, params={"status": "nonsense"}).status_code == 422


def test_task_is_returned_with_its_position_attempts_and_result(
    owner: Api, session: Session, submit: Any, held: Any
) -> None:
    waiting = submit()
    read = owner.get(f"tasks/{waiting.uuid}").json()
    assert (read["position"], read["author"]["username"][:4]) == (1, "user")
    running = owner.get(f"tasks/{held.task_uuid}").json()
    assert running["worker"] == "w1"
    assert running["attempts"][0]["outcome"] is None
    tell(session, held, 1)
    end(session, held)
    ended = owner.get(f"tasks/{held.task_uuid}").json()
    assert ended["attempts"][0]["outcome"] == "completed"
    assert (ended["result"], ended["progress"], ended["worker"]) == ({"ok": True}, 1.0, None)


def test_submission_of_a_type_with_its_own_resource_is_refused(
    owner: Api, project: Project, client: Any
) -> None:
    nowhere = "00000000-0000-0000-0000-000000000000"
    for spec, word in (
        ({"type": "training", "base_model": nowhere, "dataset": {"dataset": nowhere}}, "xperiment"),
        ({"type": "inference", "model": nowhere}, "eployment"),
    ):
        body = {"name": "x", "spec": spec}
        refused = owner.post(f"projects/{project.uuid}/tasks", json=body)
        assert refused.status_code == 422
        assert refused.json()["code"] == "task.wrong_type"
        assert word in refused.json()["detail"]


def test_submission_with_an_invalid_spec_names_the_fields(owner: Api, project: Project) -> None:
    body = {"name": "x", "priority": 11, "spec": {"type": "evaluation", "modle": "x"}}
    refused = owner.post(f"projects/{project.uuid}/tasks", json=body)
    assert refused.status_code == 422
    places = {error["place"] for error in refused.json()["errors"]}
    assert {"priority", "spec.model"} <= places


def test_cancel_is_repeatable_until_the_task_has_ended(
    owner: Api, session: Session, held: Any
) -> None:
    for _ in range(2):
        answer = owner.post(f"tasks/{held.task_uuid}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    end(session, held)
    refused = owner.post(f"tasks/{held.task_uuid}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "task.finished")


def test_logs_and_metrics_are_paged_and_filtered(owner: Api, session: Session, held: Any) -> None:
    for step in range(1, 6):
        tell(session, held, step)
    first = owner.get(f"tasks/{held.task_uuid}/logs", params={"limit": 3}).json()
    rest = owner.get(
        f"tasks/{held.task_uuid}/logs", params={"limit": 3, "cursor": first["next_cursor"]}
    ).json()
    lines = [item["text"] for item in first["items"] + rest["items"]]
    assert lines == [f"line {n}\n" for n in range(1, 6)]
    assert rest["next_cursor"] is None
    series = owner.get(f"tasks/{held.task_uuid}/metrics").json()["series"]
    assert [point[:2] for point in series["loss"]] == [[n, 1 / n] for n in range(1, 6)]
    assert series["nan"][0][1] == "NaN"
    last = owner.get(f"tasks/{held.task_uuid}/metrics", params={"key": "loss", "limit": 2}).json()
    assert [point[0] for point in last["series"]["loss"]] == [4, 5]


def test_repeated_step_counts_once_with_the_later_attempt(
    owner: Api, session: Session, held: Any, make_worker: Any
) -> None:
    tell(session, held, 1)
    tell(session, held, 2)
    assert attempts.expire(session, held.task_id, held.fence, "lost")
    commit(session)
    again = attempts.claim_next(session, make_worker(), ["default"])
    attempts.write_telemetry(session, again, metrics=[Metrics(step=2, values={"loss": 9.0})])
    commit(session)
    series = owner.get(f"tasks/{held.task_uuid}/metrics").json()["series"]
    assert [point[:2] for point in series["loss"]] == [[1, 1.0], [2, 9.0]]


def test_stream_sends_everything_in_order_and_ends(
    session: Session, project: Project, held: Any, server_url: str
) -> None:
    token = token_of(session, project)
    task = session.get_one(Task, held.task_id)
    tell(session, held, 1, events=[("note", {"n": 1})])

    def go_on() -> None:
        time.sleep(0.5)
        tell(session, held, 2)
        end(session, held)

    background = threading.Thread(target=go_on)
    background.start()
    events = list(watch(server_url, token, task))
    background.join()
    assert [d["step"] for kind, _, d in events if kind == "metrics"] == [1, 2]
    assert [d["text"] for kind, _, d in events if kind == "log"] == ["line 1\n", "line 2\n"]
    told = [d["kind"] for kind, _, d in events if kind == "event"]
    assert told == ["submitted", "claimed", "note", "completed"]
    assert [d["status"] for kind, _, d in events if kind == "status"] == ["running", "completed"]
    assert events[-1][0] == "end"


def test_stream_resumes_after_any_event_without_loss_or_repetition(
    session: Session, project: Project, held: Any, server_url: str
) -> None:
    token = token_of(session, project)
    task = session.get_one(Task, held.task_id)
    for step in range(1, 5):
        tell(session, held, step)
    end(session, held)
    durable = ("metrics", "log", "event")
    whole = [event for event in watch(server_url, token, task) if event[0] in durable]
    for place, (_, event_id, _) in enumerate(whole):
        rest = [e for e in watch(server_url, token, task, event_id) if e[0] in durable]
        assert rest == whole[place + 1 :]


def test_stream_ends_when_its_watcher_is_deactivated(
    session: Session, project: Project, held: Any, server_url: str
) -> None:
    member = make_member(session, project, "viewer")
    token = make_token(session, member)
    task = session.get_one(Task, held.task_id)

    def revoke() -> None:
        time.sleep(0.5)
        session.execute(
            text("UPDATE users SET is_active = FALSE WHERE id = :id"), {"id": member.id}
        )
        session.commit()

    background = threading.Thread(target=revoke)
    background.start()
    started = time.monotonic()
    events = list(watch(server_url, token, task))
    background.join()
    assert (events[-1][0], events[-1][2]["code"]) == ("error", "auth.unauthenticated")
    assert time.monotonic() - started < 10


def test_stream_ends_when_its_watcher_leaves_the_project(
    session: Session, project: Project, held: Any, server_url: str
) -> None:
    member = make_member(session, project, "viewer")
    token = make_token(session, member)
    task = session.get_one(Task, held.task_id)

    def leave() -> None:
        time.sleep(0.3)
        session.execute(
            text("DELETE FROM project_permissions WHERE user_id = :id"), {"id": member.id}
        )
        session.commit()

    background = threading.Thread(target=leave)
    background.start()
    events = list(watch(server_url, token, task))
    background.join()
    assert (events[-1][0], events[-1][2]["code"]) == ("error", "resource.not_found")


def test_stream_of_a_slow_reader_is_complete(
    session: Session,
    project: Project,
    held: Any,
    server_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "SLOW_BYTES", 400)
    token = token_of(session, project)
    task = session.get_one(Task, held.task_id)

    def go_on() -> None:
        for step in range(1, 40):
            tell(session, held, step)
        end(session, held)

    background = threading.Thread(target=go_on)
    background.start()
    events = list(watch(server_url, token, task))
    background.join()
    assert [d["seq"] for kind, _, d in events if kind == "log"] == list(range(1, 40))
    assert [d["step"] for kind, _, d in events if kind == "metrics"] == list(range(1, 40))

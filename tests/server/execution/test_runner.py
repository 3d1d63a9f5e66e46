"""Tests that run a single attempt with a real launcher and a real child process."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import psutil
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.core import storage
from aiplatform.server.core.audit import SYSTEM
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.settings import get_settings
from aiplatform.server.execution import runner
from aiplatform.server.execution.models import TaskCheckpoint
from aiplatform.server.execution.runner import process
from aiplatform.server.execution.service import attempts
from aiplatform.server.notifications.models import Notification
from aiplatform.server.queue.models import Task, TaskAttempt, TaskEvent
from aiplatform.server.queue.service import queue
from aiplatform.server.queue.service.kinds import Inputs
from aiplatform.server.telemetry.models import LogChunk, MetricPoint
from tests.factories import make_blob

Submit = Callable[..., Task]


@pytest.fixture
def worker(make_worker: Callable[..., int]) -> int:
    return make_worker()


def claim(session: Session, worker: int) -> attempts.Claim:
    claimed = attempts.claim_next(session, worker, ["default"])
    commit(session)
    assert claimed is not None
    return claimed


def run(session: Session, worker: int) -> attempts.Claim:
    held = claim(session, worker)
    runner.run_attempt(held)
    session.expire_all()
    return held


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Background:
    """An attempt that runs in a thread alongside the test."""

    def __init__(self, held: attempts.Claim) -> None:
        self.thread = threading.Thread(target=runner.run_attempt, args=(held,))
        self.thread.start()

    def join(self) -> None:
        self.thread.join(30)
        assert not self.thread.is_alive()


def kinds_of_events(task: Task) -> list[str]:
    with transaction() as session:
        rows = select(TaskEvent.kind).where(TaskEvent.task_id == task.id).order_by(TaskEvent.id)
        return list(session.scalars(rows))


def test_attempt_stores_everything_that_the_child_reports(
    session, submit: Submit, worker, kind, home: Path
):
    script = """
        import sys, pathlib
        print("out line")
        print("err line", file=sys.stderr)
        report.progress(0.5, step=1, total_steps=2, seconds_left=3.0)
        report.metrics(1, {"loss": 2.5, "bad": float("nan")})
        report.metrics(2, {"loss": 1.5})
        report.event("note", text="half way")
        pathlib.Path(job.output_dir, "weights").mkdir()
        pathlib.Path(job.output_dir, "weights", "a.bin").write_bytes(b"output")
        result = {"answer": 42, "seen": pathlib.Path(job.inputs["dataset"]).read_text()}
    """
    data = make_blob(session, b"input", "data.parquet", home)
    kind.given = Inputs(single={"dataset": data}, trees={"model": [data]})
    task = submit(script)
    run(session, worker)
    task = session.get_one(Task, task.id)
    assert (task.status, task.progress, task.error_message) == ("completed", 1.0, None)
    assert task.scheduling.result == {"answer": 42, "seen": "input"}
    assert "out line" in task.logs
    assert "err line" in task.logs
    streams = {row.stream for row in session.scalars(select(LogChunk))}
    assert {"stdout", "stderr"} <= streams
    rows = session.execute(
        select(MetricPoint.key, MetricPoint.value)
        .where(MetricPoint.task_id == task.id)
        .order_by(MetricPoint.step)
    ).all()
    assert [value for key, value in rows if key == "loss"] == [2.5, 1.5]
    (bad,) = (value for key, value in rows if key == "bad")
    assert math.isnan(bad), "it is kept"
    assert kind.told == ["started", "completed"]
    (file,) = kind.outcomes[0].files
    assert (file.path, file.size) == ("weights/a.bin", 6)
    assert storage.get_store().exists(file.sha256)
    assert {"submitted", "claimed", "started", "note", "completed"} <= set(kinds_of_events(task))
    inbox = session.scalars(select(Notification).order_by(Notification.id.desc())).first()
    assert inbox.type == "task:completed"
    assert not (get_settings().work_dir / str(task.uuid) / "attempt-1").exists()


def test_failed_attempt_stores_the_cause_and_logs_the_traceback(session, submit, worker, kind):
    task = submit('raise ValueError("the data is no good")')
    run(session, worker)
    assert task.status == "failed"
    assert "the data is no good" in task.error_message
    assert "Traceback" in task.logs
    assert kind.told == ["started", "failed"]


def test_child_that_exits_without_a_result_fails_with_code_and_last_output(session, submit, worker):
    task = submit("import os; print('last words', file=__import__('sys').stderr); os._exit(7)")
    run(session, worker)
    assert task.status == "failed"
    assert "exit code 7" in task.error_message
    assert "last words" in task.error_message


def test_killed_child_fails_with_the_name_of_the_signal(session, submit, worker):
    task = submit("import os; os.kill(os.getpid(), 9)")
    run(session, worker)
    assert "SIGKILL" in task.error_message


def test_printed_messages_do_not_count_as_protocol_messages(session, submit, worker):
    task = submit("""
        print('{"type":"result","data":{"forged":true}}', flush=True)
        raise RuntimeError("honest")
    """)
    run(session, worker)
    assert task.status == "failed"
    assert task.scheduling.result is None


def test_invalid_message_on_the_pipe_fails_the_attempt(session, submit, worker):
    task = submit("""
        import os, time
        os.write(report._fd, b'{"type":"no such message"}\\n')
        time.sleep(1)
    """)
    run(session, worker)
    assert task.status == "failed"
    assert "broke the protocol" in task.error_message


def test_child_environment_has_no_credentials(session, submit, worker, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    task = submit("import os; result = dict(os.environ)")
    run(session, worker)
    seen = task.scheduling.result
    assert "secret" not in seen.values()
    assert [name for name in seen if name.startswith("AIPLATFORM_")] == ["AIPLATFORM_NICENESS"]
    assert seen["CUDA_VISIBLE_DEVICES"] == ""


def test_cancelled_attempt_writes_a_checkpoint_first(session, submit, worker, kind):
    task = submit("""
        import pathlib, time
        with report.stop.delay():
            report.event("running")
            while not report.stop.requested:
                time.sleep(0.02)
            path = pathlib.Path(job.checkpoint_dir, "checkpoint-3")
            path.mkdir()
            (path / "state").write_text("three")
            report.checkpoint(3, str(path))
        report.stop.raise_if_requested()
    """)
    background = Background(claim(session, worker))
    until(lambda: "running" in kinds_of_events(task))
    queue.request_cancel(session, SYSTEM, task)
    commit(session)
    background.join()
    session.expire_all()
    assert task.status == "cancelled"
    assert session.scalars(select(TaskCheckpoint)).one().step == 3
    assert kind.told == ["started", "cancelled"]


def test_new_attempt_resumes_from_the_newest_checkpoint(session, submit, worker):
    task = submit("""
        import os, pathlib
        if job.resume_from is None:
            for step in (1, 2, 3):
                path = pathlib.Path(job.checkpoint_dir, f"checkpoint-{step}")
                path.mkdir()
                (path / "state").write_text(str(step))
                report.checkpoint(step, str(path))
            raise SystemExit
        result = {"from": pathlib.Path(job.resume_from, "state").read_text(),
                  "name": pathlib.Path(job.resume_from).name, "attempt": job.attempt}
    """)
    held = claim(session, worker)
    # The attempt is lost after it has written its checkpoints and before it ends.
    monkey = threading.Thread(target=lambda: runner.run_attempt(held))
    monkey.start()
    until(lambda: kinds_of_events(task).count("checkpoint") == 3)
    with transaction() as own:
        lost = attempts.expire(own, task.id, held.fence, "the worker was lost")
    monkey.join(20)
    if lost:
        assert len(session.scalars(select(TaskCheckpoint)).all()) == 2, "older ones are let go"
        run(session, worker)
        assert task.scheduling.result == {"from": "3", "name": "checkpoint-3", "attempt": 2}


def test_metrics_are_stored_before_the_checkpoint_that_follows_them(
    session, submit, worker, monkeypatch
):
    """Check what a worker leaves behind that is killed right after it recorded a checkpoint."""
    task = submit("""
        import pathlib
        path = pathlib.Path(job.checkpoint_dir, "checkpoint-2")
        path.mkdir(parents=True)
        (path / "state.bin").write_bytes(b"weights")
        report.metrics(1, {"loss": 2.0})
        report.metrics(2, {"loss": 1.0})
        report.checkpoint(2, str(path))
    """)
    stored: list[int] = []

    def record_steps(*_) -> None:
        with transaction() as other:
            steps = select(MetricPoint.step).where(MetricPoint.task_id == task.id)
            stored.extend(other.scalars(steps.order_by(MetricPoint.step)))

    monkeypatch.setattr(attempts, "add_checkpoint", record_steps)
    run(session, worker)
    assert stored == [1, 2]


def test_checkpoint_outside_its_directory_is_refused(session, submit, worker):
    task = submit("report.checkpoint(1, '/etc'); import time; time.sleep(0.5)")
    run(session, worker)
    assert task.status == "failed"
    assert "outside" in task.error_message


def test_lost_lease_ends_the_child_and_drops_its_work(session, submit, worker, monkeypatch, kind):
    monkeypatch.setenv("AIPLATFORM_RENEW_SECONDS", "0.5")
    get_settings.cache_clear()
    task = submit("import time; report.event('running'); time.sleep(60)")
    background = Background(claim(session, worker))
    until(lambda: "running" in kinds_of_events(task))
    record = get_settings().work_dir / str(task.uuid) / "launcher.pid"
    pid = int(record.read_text().split()[0])
    session.execute(text("DELETE FROM task_leases"))
    session.commit()
    background.join()
    until(lambda: not psutil.pid_exists(pid))
    session.expire_all()
    assert task.status == "running", "whoever took the lease decides"
    assert kind.told == ["started"]
    get_settings.cache_clear()


def test_stopping_worker_requeues_its_task(session, submit, worker, kind, monkeypatch):
    monkeypatch.setattr(process, "stopping", threading.Event())
    task = submit("import time; report.event('running'); time.sleep(60)")
    background = Background(claim(session, worker))
    until(lambda: "running" in kinds_of_events(task))
    process.stop_everything()
    background.join()
    session.expire_all()
    assert (task.status, kind.told) == ("pending", ["started", "requeued"])
    row = session.scalars(select(TaskAttempt).where(TaskAttempt.task_id == task.id)).one()
    assert row.outcome == "released"


def test_retryable_failure_requeues_the_task(session, submit, worker):
    task = submit("""
        from aiplatform.runtime.channel import JobError
        raise JobError("the hub does not answer", retryable=job.attempt < 2)
    """)
    run(session, worker)
    assert task.status == "pending"
    assert attempts.claim_next(session, worker, ["default"]) is None, "it waits before it retries"
    session.execute(text("UPDATE task_scheduling SET not_before = now() - interval '1 s'"))
    session.commit()
    run(session, worker)
    assert (task.status, task.error_message) == ("failed", "the hub does not answer")


def test_large_output_is_stored_completely_and_in_order(session, submit, worker):
    task = submit("for n in range(50_000): print(f'line {n}')")
    run(session, worker)
    chunks = session.scalars(select(LogChunk).order_by(LogChunk.seq)).all()
    lines = "".join(chunk.text for chunk in chunks).splitlines()
    assert lines == [f"line {n}" for n in range(50_000)]
    assert [chunk.seq for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert len(task.logs) <= 64_000
    assert task.logs.endswith("line 49999\n")


def test_child_of_a_killed_worker_is_killed(session, submit, worker, tmp_path):
    """Kill a worker in a separate process; the launcher notices that its pipe is closed."""
    import subprocess
    import sys

    task = submit("""
        import os, pathlib, time
        pathlib.Path(job.output_dir, "pid").write_text(str(os.getpid()))
        report.event("running")
        time.sleep(60)
    """)
    held = claim(session, worker)
    program = dedent(f"""
        import sys
        from aiplatform.protocol.enums import TaskType
        from aiplatform.server.execution import runner
        from aiplatform.server.execution.runner import process
        from aiplatform.server.execution.service import attempts
        from aiplatform.server.queue.service import kinds
        from tests.server.queue.conftest import ScriptedKind
        kinds.register(ScriptedKind())
        process.RUNTIME = {process.RUNTIME!r}
        import uuid
        runner.run_attempt(attempts.Claim({held.task_id}, uuid.UUID("{held.task_uuid}"),
            "data_quality", "default", {held.attempt}, {held.fence}, ()))
    """)
    victim = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[3])
    pid_file = get_settings().work_dir / str(task.uuid) / "attempt-1" / "output" / "pid"
    until(lambda: "running" in kinds_of_events(task))
    child = int(pid_file.read_text())
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    until(lambda: not psutil.pid_exists(child), 5)

"""The Celery side of the queue: the wake-up job and a worker's background threads."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg
import structlog
from celery import Celery, current_task
from celery.signals import worker_ready, worker_shutting_down
from celery.states import STARTED
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.server.core import gc_settings
from aiplatform.server.core.broker import WAKE, get_celery, install_messages, send, task_queue
from aiplatform.server.core.database import (
    KEEPALIVE_OPTIONS,
    SERVER_KEEPALIVE_STATEMENTS,
    AdvisoryLock,
    transaction,
)
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.events import libpq_url
from aiplatform.server.core.garbage_collection import adopt_orphans, collect_blobs
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.core.spool import SPOOL_MAX_AGE, clean_directory
from aiplatform.server.core.storage import get_store
from aiplatform.server.execution import runner
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.execution.service.periodic import do_each, hourly_chores, round_chores
from aiplatform.server.execution.service.reaper import Reaper
from aiplatform.server.notifications import jobs as notifications_jobs
from aiplatform.server.projects.service import purge_overdue
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.service import submissions
from aiplatform.server.telemetry.service import prometheus, retention

log = structlog.get_logger(__name__)
HEARTBEAT_SECONDS = 5.0
CHORES_SECONDS = 3600.0


class NameInUse(Exception):
    """Another worker on this machine already uses the name."""


class WorkerProcess:
    """This process in its role as a worker: its name, database row, heartbeat thread and reaper."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = settings.worker_name or default_name(settings)
        self.worker_id = 0
        self.stopped = threading.Event()
        self._lock_file: IO[str] | None = None
        self._threads: list[threading.Thread] = []
        self._spares: runner.Spares | None = None
        self._chores_due = time.monotonic()

    def start(self) -> None:
        """Register the worker and start its threads.

        Raises:
            NameInUse: another live process on this machine has the name.
        """
        self._take_name()
        end_leftovers(self.settings.work_dir)
        offers = workers.capacity(self.settings)
        with transaction() as session:
            self.worker_id = workers.register(
                session, self.name, self.settings.worker_queues, offers
            )
        runner.get_sampler().watch_machine(self.worker_id, [one.id for one in offers.devices])
        self._spares = runner.keep_spares(self.settings, gpus=bool(offers.devices))
        for name, target in (("heartbeat", self._send_heartbeats), ("reaper", self._run_reaper)):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop the threads and record that the worker stopped. All attempts must have ended."""
        self.stopped.set()
        if self._spares is not None:
            self._spares.stop()
        for thread in self._threads:
            thread.join(timeout=5)
        try:
            with transaction() as session:
                workers.sign_off(session, self.worker_id)
        except SQLAlchemyError as error:
            log.warning("could not sign off", error=str(error)[:200])

    def _take_name(self) -> None:
        directory = self.settings.home / "run"
        directory.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        self._lock_file = (directory / f"worker-{digest}.lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise NameInUse(
                f"A worker named {self.name} runs already in {self.settings.home}. "
                "Give this one another name with AIPLATFORM_WORKER_NAME."
            ) from error

    def _send_heartbeats(self) -> None:
        while not self.stopped.wait(HEARTBEAT_SECONDS):
            try:
                with transaction() as session:
                    load = {**workers.measured_load(), **gpus_in(runner.get_sampler().latest)}
                    workers.heartbeat(session, self.worker_id, load)
                    prometheus.store(session, self.worker_id, prometheus.snapshot())
            except SQLAlchemyError as error:
                log.warning("heartbeat failed", error=str(error)[:200])

    def _run_reaper(self) -> None:
        """Run the reaper while this process holds the advisory lock; otherwise wait for it."""
        while not self.stopped.is_set():
            try:
                with psycopg.connect(
                    libpq_url(self.settings.database_url),
                    autocommit=True,
                    connect_timeout=5,
                    **KEEPALIVE_OPTIONS,
                ) as connection:
                    # Otherwise a worker that was cut off would keep the lock, and no other could
                    # become the reaper.
                    connection.execute(SERVER_KEEPALIVE_STATEMENTS)
                    self._reap_with(connection)
            except (psycopg.Error, SQLAlchemyError, OSError, Problem) as error:
                log.warning("reaper interrupted", error=str(error)[:200])
            # Nothing else catches this thread's errors; if it died, no lease would ever expire.
            except Exception:
                log.exception("reaper interrupted inside the platform")
            self.stopped.wait(self.settings.reaper_seconds)

    def _reap_with(self, connection: psycopg.Connection) -> None:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s)", (int(AdvisoryLock.REAPER),)
        ).fetchone()
        if row is None or not row[0]:
            return
        reaper = Reaper(
            self.settings.lease_seconds,
            run_silence_seconds=self.settings.run_silence_seconds,
        )
        while not self.stopped.is_set():
            # The lock belongs to this connection: if it is lost, another worker is already the
            # reaper.
            connection.execute("SELECT 1")
            reaper.run_round()
            do_each({"notifications": notifications_jobs.send_due, **round_chores()})
            if time.monotonic() >= self._chores_due:
                self._chores_due = time.monotonic() + CHORES_SECONDS
                do_chores(self.settings)
            self.stopped.wait(self.settings.reaper_seconds)


def gpus_in(sample: dict[str, float]) -> dict[str, float]:
    """Return the GPU values of a machine sample, rounded to one decimal for the worker list."""
    return {key: round(value, 1) for key, value in sample.items() if key.startswith("gpu")}


def default_name(settings: Settings) -> str:
    """Return a worker's default name: the host name and a digest of the home directory.

    The digest distinguishes workers on one machine that have different home directories.
    """
    digest = hashlib.sha256(str(settings.home.absolute()).encode()).hexdigest()[:8]
    return f"{socket.gethostname()}-{digest}"[:100]


def do_chores(settings: Settings) -> None:
    """Do the hourly work: empty the bin, collect garbage, apply retention, delete old files."""
    do_each(
        {
            "bin": purge_overdue,
            "notifications": notifications_jobs.clean_up,
            "retention": retention.apply_all,
            "orphans": adopt_orphans,
            "blobs": collect_blobs,
            "celery": _delete_old_results,
            "submissions": _delete_old_submissions,
            **hourly_chores(),
            "spool": lambda: clean_directory(settings.spool_dir, SPOOL_MAX_AGE),
            "store": lambda: get_store().delete_incomplete(timedelta(days=1).total_seconds()),
        }
    )


def _delete_old_results() -> None:
    get_celery().backend.cleanup()


def _delete_old_submissions() -> None:
    with transaction() as session:
        submissions.delete_old_keys(session)


def end_leftovers(work_dir: Path) -> None:
    """Stop a dead worker's child processes and delete the home directories of its spares.

    The launchers of a dead worker exit by themselves; any that are still running are terminated
    here. Launchers of another worker in the same directory are left alone while that worker, their
    parent process, is running.
    """
    if not work_dir.is_dir():
        return
    for record in work_dir.glob("*/launcher.pid"):
        try:
            pid, worker = map(int, record.read_text().split())
            launcher = psutil.Process(pid)
            ours = "aiplatform.runtime" in " ".join(launcher.cmdline())
            if ours and launcher.create_time() <= record.stat().st_mtime + 1:
                if launcher.ppid() == worker:
                    continue
                log.warning("ending a process of the worker's predecessor", pid=launcher.pid)
                os.kill(launcher.pid, signal.SIGTERM)
                psutil.wait_procs([launcher], timeout=5)
        except (psutil.Error, ValueError, OSError):
            pass
        record.unlink(missing_ok=True)
        if record.parent.name.startswith(runner.SPARE):
            shutil.rmtree(record.parent, ignore_errors=True)


_process: WorkerProcess | None = None


def wake(queue: str, passed_on: int = 0) -> dict[str, Any] | None:
    """Claim one task from this worker's queues and run it.

    If other tasks are waiting, a claim sends another wake-up, so that all tasks that fit are
    started. Submitting a task also sends one, and so does ending a task, which frees resources. The
    broker may deliver a wake-up to a worker without free resources. That worker passes it on, at
    most as often as there are other workers with a free core. ``passed_on`` is the number of times
    that this wake-up has been passed on already.

    Returns:
        The task's uuid, type, attempt and duration in seconds, or None if no task was claimed.
    """
    if _process is None:
        return None
    claim = None
    with transaction() as session:
        if not runner.stopping.is_set():
            claim = attempts.claim_next(
                session, _process.worker_id, _process.settings.worker_queues
            )
        others = 0
        if claim is None:
            others = queries.others_with_room(session, _process.worker_id, queue)
    if claim is None:
        if passed_on < others:
            send(WAKE, task_queue(queue), queue=queue, passed_on=passed_on + 1)
        return None
    prometheus.CLAIMS.labels(claim.task_type).inc()
    if claim.others_wait:
        send(WAKE, task_queue(queue), queue=queue)
    # Celery itself would write this record before the claim, which would delay the task.
    with contextlib.suppress(SQLAlchemyError):
        if current_task:
            current_task.update_state(state=STARTED)
    started = time.monotonic()
    try:
        (runner.run_node if claim.node else runner.run_attempt)(claim)
    # Nothing else catches the platform's own errors, which end the attempt.
    except Exception as error:
        log.exception("the attempt failed inside the platform", task=str(claim.task_uuid))
        with contextlib.suppress(LostLease), transaction() as session:
            reason = f"The platform failed while it ran the task: {type(error).__name__}: {error}"
            attempts.retry(session, claim, reason)
        raise
    finally:
        if _others_wait(_process.settings.worker_queues):
            send(WAKE, task_queue(queue), queue=queue)
    return {
        "task": str(claim.task_uuid),
        "type": claim.task_type,
        "attempt": claim.attempt,
        "seconds": round(time.monotonic() - started, 3),
    }


def _others_wait(queues: Sequence[str]) -> bool:
    """Return True if a task is waiting in one of ``queues``, or if the database can't be read."""
    try:
        with transaction() as session:
            return bool(queries.count_waiting(session, queues, 1) or queries.missing_nodes(session))
    except SQLAlchemyError:
        return True


def install(app: Celery) -> None:
    """Add the wake-up job and the worker's start and stop handlers to the Celery application."""
    # Most wake-ups find no task. The others record their start themselves, after the claim.
    app.task(name=WAKE, track_started=False)(wake)
    notifications_jobs.install(app)
    install_messages(app)

    def on_ready(**_: Any) -> None:
        gc_settings.freeze_startup_objects()
        log.info("worker ready", name=None if _process is None else _process.name)

    def on_shutdown(**_: Any) -> None:
        runner.stop_everything()

    worker_ready.connect(on_ready, weak=False)
    worker_shutting_down.connect(on_shutdown, weak=False)


def run_worker() -> None:
    """Run a worker until it receives a signal to stop.

    Raises:
        NameInUse: another live process on this machine has the name.
    """
    global _process  # noqa: PLW0603  (one worker per process, known to its Celery task)
    settings = get_settings()
    app = get_celery()
    install(app)
    _process = WorkerProcess(settings)
    _process.start()
    queues = [task_queue(queue) for queue in settings.worker_queues]
    try:
        app.worker_main(
            [
                "worker",
                "--pool=threads",
                f"--concurrency={settings.worker_threads}",
                f"--queues={','.join([*queues, 'chores'])}",
                f"--hostname={_process.name}",
                "--without-gossip",
                "--without-mingle",
                f"--loglevel={settings.log_level}",
            ]
        )
    finally:
        _process.stop()

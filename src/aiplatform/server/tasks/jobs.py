"""Celery's side of the queue: the wake-up, and the threads that a worker runs beside it."""

import contextlib
import fcntl
import hashlib
import os
import signal
import socket
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg
import structlog
from celery import Celery
from celery.signals import worker_ready, worker_shutting_down
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.server.core.broker import WAKE, get_celery, send, task_queue
from aiplatform.server.core.database import transaction
from aiplatform.server.core.events import libpq_url
from aiplatform.server.core.locks import AdvisoryLock
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.core.storage import adopt_orphans, collect_blobs, get_store
from aiplatform.server.tasks import runner
from aiplatform.server.tasks.errors import LostLease
from aiplatform.server.tasks.service import attempts, workers
from aiplatform.server.tasks.service.sweep import Sweeper

log = structlog.get_logger(__name__)
HEARTBEAT_SECONDS = 5.0
CHORES_SECONDS = 3600.0


class NameInUse(Exception):
    """Another worker of this machine has the name."""


class WorkerProcess:
    """This process as a worker: its name, its row, its heartbeat and its turn at sweeping."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = settings.worker_name or default_name(settings)
        self.worker_id = 0
        self.stopped = threading.Event()
        self._lock_file: IO[str] | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Enter the worker and start its threads.

        Raises:
            NameInUse: when another live process of this machine has the name.
        """
        self._take_name()
        end_leftovers(self.settings.work_dir)
        with transaction() as session:
            self.worker_id = workers.register(
                session,
                self.name,
                self.settings.worker_queues,
                workers.capacity(self.settings),
            )
        for name, target in (("heartbeat", self._beat), ("sweep", self._sweep)):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Sign off, when all attempts have ended."""
        self.stopped.set()
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

    def _beat(self) -> None:
        while not self.stopped.wait(HEARTBEAT_SECONDS):
            try:
                with transaction() as session:
                    workers.heartbeat(session, self.worker_id)
            except SQLAlchemyError as error:
                log.warning("heartbeat failed", error=str(error)[:200])

    def _sweep(self) -> None:
        """Sweep while this process holds the database's advisory lock, else wait for it."""
        while not self.stopped.is_set():
            try:
                with psycopg.connect(
                    libpq_url(self.settings.database_url), autocommit=True, connect_timeout=5
                ) as connection:
                    self._sweep_with(connection)
            except (psycopg.Error, SQLAlchemyError, OSError) as error:
                log.warning("sweep interrupted", error=str(error)[:200])
            self.stopped.wait(self.settings.sweep_seconds)

    def _sweep_with(self, connection: psycopg.Connection) -> None:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s)", (int(AdvisoryLock.SWEEP),)
        ).fetchone()
        if row is None or not row[0]:
            return
        sweeper = Sweeper(self.settings.lease_seconds)
        chores_due = time.monotonic()
        while not self.stopped.is_set():
            # The lock lives in this connection; when that is gone, another sweeps already.
            connection.execute("SELECT 1")
            sweeper.sweep()
            if time.monotonic() >= chores_due:
                chores_due = time.monotonic() + CHORES_SECONDS
                do_chores(self.settings)
            self.stopped.wait(self.settings.sweep_seconds)


def default_name(settings: Settings) -> str:
    """Host name and a digest of the home, so that two homes on one machine are two workers."""
    digest = hashlib.sha256(str(settings.home.absolute()).encode()).hexdigest()[:8]
    return f"{socket.gethostname()}-{digest}"[:100]


def do_chores(settings: Settings) -> None:
    """What is due now and then: collect blobs, drop expired outcomes, clean the spool."""
    adopt_orphans()
    collected = collect_blobs()
    get_celery().backend.cleanup()
    removed = clean_directory(settings.spool_dir, timedelta(days=1))
    removed += get_store().sweep(timedelta(days=1).total_seconds())
    if collected or removed:
        log.info("cleaned up", blobs=collected, leftovers=removed)


def clean_directory(directory: Path, age: timedelta) -> int:
    """Delete files of ``directory`` that nobody wrote to for ``age``: their process died."""
    removed = 0
    if not directory.is_dir():
        return removed
    before = time.time() - age.total_seconds()
    for path in directory.iterdir():
        if path.is_file() and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def end_leftovers(work_dir: Path) -> None:
    """Make sure that no child of a predecessor still runs, and drop its working directories.

    Launchers end by themselves when their runner dies; this waits for the last of them.
    """
    if not work_dir.is_dir():
        return
    for record in work_dir.glob("*/launcher.pid"):
        try:
            launcher = psutil.Process(int(record.read_text()))
            ours = "aiplatform.runtime" in " ".join(launcher.cmdline())
            if ours and launcher.create_time() <= record.stat().st_mtime + 1:
                log.warning("ending a leftover of the worker before", pid=launcher.pid)
                os.kill(launcher.pid, signal.SIGTERM)
                psutil.wait_procs([launcher], timeout=5)
        except (psutil.Error, ValueError, OSError):
            pass
        record.unlink(missing_ok=True)


_process: WorkerProcess | None = None


def wake(queue: str) -> dict[str, Any] | None:
    """Claim one task of this worker's queues and run it; the rest is for further wake-ups.

    A claim is followed by another wake-up, so that everything that fits is started; so is the end
    of a task, since its resources are free then.
    """
    if _process is None or runner.stopping.is_set():
        return None
    with transaction() as session:
        claim = attempts.claim_next(session, _process.worker_id, _process.settings.worker_queues)
    if claim is None:
        return None
    send(WAKE, task_queue(queue), queue=queue)
    started = time.monotonic()
    try:
        runner.run_attempt(claim)
    except Exception as error:  # the one handler of this process: a fault of ours ends the attempt
        log.exception("the attempt failed inside the platform", task=str(claim.task_uuid))
        with contextlib.suppress(LostLease), transaction() as session:
            reason = f"The platform failed while it ran the task: {type(error).__name__}: {error}"
            attempts.retry(session, claim, reason)
        raise
    finally:
        send(WAKE, task_queue(queue), queue=queue)
    return {
        "task": str(claim.task_uuid),
        "type": claim.task_type,
        "attempt": claim.attempt,
        "seconds": round(time.monotonic() - started, 3),
    }


def install(app: Celery) -> None:
    """Give the Celery application its task and the worker its life cycle."""
    app.task(name=WAKE)(wake)

    def on_ready(**_: Any) -> None:
        log.info("worker ready", name=None if _process is None else _process.name)

    def on_shutdown(**_: Any) -> None:
        runner.stop_everything()

    worker_ready.connect(on_ready, weak=False)
    worker_shutting_down.connect(on_shutdown, weak=False)


def run_worker() -> None:
    """Be a worker until a signal ends it.

    Raises:
        NameInUse: see :class:`WorkerProcess`.
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

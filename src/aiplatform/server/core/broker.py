"""Celery: the broker's messages are wake-ups, the rows in PostgreSQL are the truth."""

import math
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import uuid4

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import redis
from sqlalchemy.orm import Session

from aiplatform.server.core.database import after_commit
from aiplatform.server.core.settings import get_settings

log = structlog.get_logger(__name__)

CHORES = "chores"
"""Queue of short work that holds no resources."""

WAKE = "aiplatform.tasks.wake"
"""Name of the Celery task that makes a worker look at the queue; see ``tasks/jobs.py``."""


COALESCE_SECONDS = 0.05
"""Submissions of one process that come within so short a time share a wake-up."""

LONGEST_COALESCE_SECONDS = 0.4
"""What that time grows to while they keep coming: workers are awake by then, or busy."""


def task_queue(name: str) -> str:
    """The broker's queue for the tasks of a selector."""
    return f"tasks.{name}"


class _Forgetful(redis.Channel):  # type: ignore[misc]  # kombu is untyped
    """Gives no message back that was fetched and not begun when the connection went.

    kombu tries to, over that same connection, and the error of it ends the whole worker. Wake-ups
    and chores are rows; whoever sweeps sends anew what was lost.
    """

    do_restore = False


redis.Transport.Channel = _Forgetful


@cache
def get_celery() -> Celery:
    """The Celery application of this process."""
    settings = get_settings()
    app = Celery("aiplatform", broker=settings.broker_url)
    app.conf.update(
        result_backend="aiplatform.server.core.results:DatabaseBackend",
        task_serializer="json",
        accept_content=["json"],
        result_serializer="json",
        result_extended=True,
        task_track_started=True,
        task_default_queue=CHORES,
        task_create_missing_queues=True,
        # A wake-up lost with its worker is sent again by the sweep; one that were kept until the
        # work is done would be delivered a second time while the first still runs.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        broker_connection_retry_on_startup=True,
        # Nor are messages kept aside until they are acknowledged, see :class:`_Forgetful`.
        # Few and quick attempts: whoever sends is answering a request, and the sweep makes up.
        broker_transport_options={"ack_emulation": False, "socket_timeout": 5,
                                  "socket_connect_timeout": 2, "max_retries": 1,
                                  "interval_start": 0.1, "interval_step": 0.1},
        broker_connection_timeout=5,
        enable_utc=True,
        timezone="UTC",
    )  # fmt: skip
    return app


_messages: dict[str, Callable[..., Any]] = {}


def on_message(name: str, act: Callable[..., Any]) -> None:
    """Have workers call ``act`` with what :func:`send` sends under ``name``; for higher domains."""
    _messages[name] = act


def install_messages(app: Celery) -> None:
    """Give the Celery application of a worker what domains have registered."""
    for name, act in _messages.items():
        app.task(name=name)(act)


def send(name: str, broker_queue: str, **kwargs: Any) -> None:
    """Send a message now. A broker that does not take it costs time, not the work."""
    try:
        get_celery().send_task(
            name,
            kwargs=kwargs,
            queue=broker_queue,
            task_id=str(uuid4()),
            retry=False,
            ignore_result=False,
        )
    except (OperationalError, OSError) as error:
        log.warning("broker unavailable, the sweep will make up for it", error=str(error))


class Waker:
    """Wakes workers: at once when the queue was quiet, else soon, for all who ask until then.

    A worker that has claimed wakes the next one itself, so a message for each of a thousand
    submissions would say nothing new. Every one of them has a message that is sent after it.
    """

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self._pause: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()
        self._pending = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self, queue: str) -> None:
        """Let a worker of ``queue`` look for work."""
        with self._lock:
            if queue in self._due:
                return
            now = time.monotonic()
            pause = self._pause.get(queue, COALESCE_SECONDS)
            soonest = self._sent.get(queue, -math.inf) + pause
            if now < soonest:
                self._due[queue] = soonest
                self._pause[queue] = min(2 * pause, LONGEST_COALESCE_SECONDS)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                    self._thread.start()
                self._pending.set()
                return
            self._sent[queue] = now
            self._pause[queue] = COALESCE_SECONDS
        send(WAKE, task_queue(queue), queue=queue)

    def flush(self) -> None:
        """Send at once what is due soon: this process ends."""
        with self._lock:
            queues = list(self._due)
            self._due.clear()
        for queue in queues:
            send(WAKE, task_queue(queue), queue=queue)

    def _run(self) -> None:
        while True:
            self._pending.wait()
            with self._lock:
                now = time.monotonic()
                due = [queue for queue, moment in self._due.items() if moment <= now]
                for queue in due:
                    # Before it is sent: who commits from here on gets a message of their own.
                    del self._due[queue]
                    self._sent[queue] = now
                if not self._due:
                    self._pending.clear()
                pause = min(self._due.values(), default=now) - now
            for queue in due:
                send(WAKE, task_queue(queue), queue=queue)
            time.sleep(max(0.0, pause))


@cache
def get_waker() -> Waker:
    """The waker of this process. Call it after any fork."""
    return Waker()


def wake(session: Session, queue: str) -> None:
    """After the commit, let a worker of ``queue`` look for work."""
    after_commit(session, lambda: get_waker().wake(queue))


def broker_answers() -> bool:
    """Whether the broker takes connections."""
    try:
        with get_celery().connection_for_write(connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OperationalError, OSError):
        return False
    return True

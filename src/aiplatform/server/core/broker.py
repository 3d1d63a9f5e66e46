"""The Celery application, and the messages that wake workers.

Messages are only wake-ups. The rows in PostgreSQL decide which work exists.
"""

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
"""Queue for short jobs that need no resources."""

WAKE = "aiplatform.tasks.wake"
"""Name of the Celery task that makes a worker look for queued tasks; see ``execution/jobs.py``."""


COALESCE_SECONDS = 0.05
"""Seconds within which the submissions of one process share a wake-up."""

LONGEST_COALESCE_SECONDS = 0.4
"""Largest delay in seconds between wake-ups of a queue.

While tasks keep being submitted, the delay doubles from ``COALESCE_SECONDS`` to this limit. At
that point, the workers are awake or busy anyway.
"""


def task_queue(name: str) -> str:
    """Return the name of the broker queue for tasks in the queue ``name``."""
    return f"tasks.{name}"


class _NonRestoringChannel(redis.Channel):  # type: ignore[misc]  # kombu is untyped
    """A Redis channel that does not return fetched messages when its connection is lost.

    kombu tries to return them over the lost connection, and the resulting error stops the whole
    worker. Every wake-up and chore is also recorded in a row, so the reaper can send a lost message
    again.
    """

    do_restore = False


redis.Transport.Channel = _NonRestoringChannel


@cache
def get_celery() -> Celery:
    """Return the Celery application of this process."""
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
        # The reaper resends wake-ups that were lost with their worker. If a message were
        # acknowledged only after the work, it would be delivered a second time while the work is
        # still running.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        broker_connection_retry_on_startup=True,
        # Messages are not kept until they are acknowledged; see _NonRestoringChannel. There are
        # only a few quick attempts, because the sender is handling a request and the reaper repeats
        # lost messages.
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
    """Register ``act`` as the worker's handler for messages sent by :func:`send` as ``name``.

    A higher domain (see docs/architecture.md) uses this to handle messages of a lower one.
    """
    _messages[name] = act


def install_messages(app: Celery) -> None:
    """Add the registered message handlers to the Celery application of a worker."""
    for name, act in _messages.items():
        app.task(name=name)(act)


def send(name: str, broker_queue: str, **kwargs: Any) -> None:
    """Send a message now. If this fails, log the error; the reaper will resend the message."""
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
        log.warning("broker unavailable, the reaper sends the message again", error=str(error))


class Waker:
    """A sender that combines wake-ups in quick succession into one message.

    The first wake-up after a pause is sent immediately. Later ones are delayed and combined. A
    worker that claims a task wakes the next worker itself, so a message for each of a thousand
    submissions would add nothing. Every submission is still followed by at least one message.
    """

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self._pause: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()
        self._pending = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self, queue: str) -> None:
        """Send a wake-up to a worker of ``queue``, immediately or after a short delay."""
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
        """Send all delayed wake-ups now, because this process is about to exit."""
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
                    # Remove the queue before sending, so that a submission that commits from now
                    # on gets its own message.
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
    """Return the waker of this process, which must not fork after this call."""
    return Waker()


def wake(session: Session, queue: str) -> None:
    """Wake a worker of ``queue`` after the session commits."""
    after_commit(session, lambda: get_waker().wake(queue))


def broker_answers() -> bool:
    """Return True if the broker accepts connections."""
    try:
        with get_celery().connection_for_write(connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OperationalError, OSError):
        return False
    return True

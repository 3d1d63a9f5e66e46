"""Celery: the broker's messages are wake-ups, the rows in PostgreSQL are the truth."""

from functools import cache
from typing import Any
from uuid import uuid4

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy.orm import Session

from aiplatform.server.core.database import after_commit
from aiplatform.server.core.settings import get_settings

log = structlog.get_logger(__name__)

CHORES = "chores"
"""Queue of short work that holds no resources."""

WAKE = "aiplatform.tasks.wake"
"""Name of the Celery task that makes a worker look at the queue; see ``tasks/jobs.py``."""


def task_queue(name: str) -> str:
    """The broker's queue for the tasks of a selector."""
    return f"tasks.{name}"


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
        task_send_sent_event=True,
        broker_connection_retry_on_startup=True,
        # Few and quick attempts: whoever sends is answering a request, and the sweep makes up.
        broker_transport_options={"visibility_timeout": 3600, "socket_timeout": 5,
                                  "socket_connect_timeout": 2, "max_retries": 1,
                                  "interval_start": 0.1, "interval_step": 0.1},
        broker_connection_timeout=5,
        enable_utc=True,
        timezone="UTC",
    )  # fmt: skip
    return app


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


def wake(session: Session, queue: str) -> None:
    """After the commit, let a worker of ``queue`` look for work."""
    after_commit(session, lambda: send(WAKE, task_queue(queue), queue=queue))


def broker_answers() -> bool:
    """Whether the broker takes connections."""
    try:
        with get_celery().connection_for_write(connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OperationalError, OSError):
        return False
    return True

"""The worker's side: wake-ups that send what is due, and the sweep that makes up for lost ones."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

from celery import Celery
from sqlalchemy import delete, func

from aiplatform.server.core import mail
from aiplatform.server.core.broker import CHORES, send
from aiplatform.server.core.database import transaction
from aiplatform.server.core.encryption import KeyFileUnusable
from aiplatform.server.core.mail import SEND_MAIL
from aiplatform.server.notifications.models import WebhookDelivery
from aiplatform.server.notifications.service import calls, email
from aiplatform.server.notifications.service.outbox import DELIVER

AT_ONCE = 4
"""Wake-ups of a worker that send at the same time: its other threads run tasks."""
STRETCH_SECONDS = 60.0
KEEP = timedelta(days=30)
"""How long deliveries that ended stay in the log."""

_turns = threading.BoundedSemaphore(AT_ONCE)


def deliver() -> int:
    """Call webhooks for what is due, one after the other; how many calls there were."""
    return _drain(DELIVER, calls.deliver_next)


def send_mail() -> int:
    """Send the mails that are due; how many there were."""
    return _drain(SEND_MAIL, mail.send_next)


def _drain(name: str, send_next: Callable[[], bool]) -> int:
    """The first success wakes another, so that several are sent side by side."""
    if not _turns.acquire(blocking=False):
        return 0
    sent = 0
    try:
        deadline = time.monotonic() + STRETCH_SECONDS
        while send_next():
            sent += 1
            if sent == 1:
                send(name, CHORES)
            if time.monotonic() > deadline:
                send(name, CHORES)
                break
    finally:
        _turns.release()
    return sent


def sweep() -> None:
    """Write digests, and wake a worker for what is due: retries, and what was left behind."""
    with transaction() as session:
        users = email.due_digests(session)
    try:
        for user_id in users:
            with transaction() as session:
                email.send_digest(session, user_id)
    except KeyFileUnusable:  # for all of them, and in the log by now
        with transaction() as session:
            email.put_off(session, users)
    with transaction() as session:
        due = {DELIVER: calls.is_due(session), SEND_MAIL: mail.is_due(session)}
    for name, waits in due.items():
        if waits:
            send(name, CHORES)


def clean_up() -> None:
    """Drop what ended long ago."""
    with transaction() as session:
        session.execute(
            delete(WebhookDelivery)
            .where(WebhookDelivery.ended_at < func.now() - KEEP)
            .execution_options(synchronize_session=False)
        )
        mail.clean_up(session)


def install(app: Celery) -> None:
    """Give the Celery application its tasks."""
    app.task(name=DELIVER)(deliver)
    app.task(name=SEND_MAIL)(send_mail)

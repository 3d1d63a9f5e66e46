"""Worker jobs for notifications: sending due webhook calls, e-mails and digests.

The jobs run on wake-ups and at regular intervals.
"""

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
from aiplatform.server.notifications.service import email, webhook_calls
from aiplatform.server.notifications.service.announce import DELIVER

AT_ONCE = 4
"""Maximum number of a worker's threads that send at the same time; the others run tasks."""
MAX_RUN_SECONDS = 60.0
KEEP = timedelta(days=30)
"""Time for which a finished webhook delivery is kept in the log."""

_slots = threading.BoundedSemaphore(AT_ONCE)


def deliver() -> int:
    """Send the due webhook deliveries one after another, and return the number of calls."""
    return _drain(DELIVER, webhook_calls.deliver_next)


def send_mail() -> int:
    """Send the due e-mails and return their number."""
    return _drain(SEND_MAIL, mail.send_next)


def _drain(name: str, send_next: Callable[[], bool]) -> int:
    """Send messages until none is due or :data:`MAX_RUN_SECONDS` have passed; return their number.

    The first message sent wakes another worker, so that several messages are sent in parallel.
    """
    if not _slots.acquire(blocking=False):
        return 0
    sent = 0
    try:
        deadline = time.monotonic() + MAX_RUN_SECONDS
        while send_next():
            sent += 1
            if sent == 1:
                send(name, CHORES)
            if time.monotonic() > deadline:
                send(name, CHORES)
                break
    finally:
        _slots.release()
    return sent


def send_due() -> None:
    """Send due digests, and wake a worker if webhook deliveries or e-mails are due.

    This includes retries, and messages whose wake-up was lost.
    """
    with transaction() as session:
        users = email.due_digests(session)
    try:
        for user_id in users:
            with transaction() as session:
                email.send_digest(session, user_id)
    except KeyFileUnusable:  # affects all users; already logged
        with transaction() as session:
            email.postpone_digests(session, users)
    with transaction() as session:
        due = {DELIVER: webhook_calls.is_due(session), SEND_MAIL: mail.is_due(session)}
    for name, is_due in due.items():
        if is_due:
            send(name, CHORES)


def clean_up() -> None:
    """Delete webhook deliveries and e-mails that ended long ago; see :data:`KEEP`."""
    with transaction() as session:
        session.execute(
            delete(WebhookDelivery)
            .where(WebhookDelivery.ended_at < func.now() - KEEP)
            .execution_options(synchronize_session=False)
        )
        mail.clean_up(session)


def install(app: Celery) -> None:
    """Register the jobs with the Celery application."""
    app.task(name=DELIVER)(deliver)
    app.task(name=SEND_MAIL)(send_mail)

"""Calling webhooks until their receivers take what is delivered.

A delivery is claimed for :data:`LEASE`, called without a transaction, and its outcome recorded. A
worker that dies in between leaves a lease that runs out, so the event is sent again under the same
``webhook-id``: at least once, and a receiver can tell.
"""

import contextlib
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import structlog
from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased
from standardwebhooks import Webhook as Signer

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.notifications import DeliveryStatus as S
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core import audit, outgoing
from aiplatform.server.core.database import transaction
from aiplatform.server.core.encryption import context_of, decrypt
from aiplatform.server.core.errors import Problem
from aiplatform.server.notifications import rules
from aiplatform.server.notifications.models import Webhook, WebhookAttempt, WebhookDelivery
from aiplatform.server.notifications.service.announce import announce

log = structlog.get_logger(__name__)
CALL_SECONDS = 15.0
LEASE = timedelta(seconds=60)
AT_ONCE = 2
"""Calls of one webhook at the same time: a slow receiver must not hold up the others."""
KEPT_ANSWER = 2000
"""Characters of a receiver's answer that the log keeps."""


@dataclass(frozen=True, slots=True)
class Call:
    """One claimed delivery with all that its call needs."""

    delivery_id: int
    message_id: UUID
    attempt: int
    url: str
    body: str
    secrets: tuple[str, ...]
    unreadable: str | None = None


def due() -> Any:
    """What may be sent now: pending, its time has come, and nobody sends it."""
    return (
        WebhookDelivery.status == S.PENDING.value,
        WebhookDelivery.next_attempt_at <= func.clock_timestamp(),
        or_(
            WebhookDelivery.locked_until.is_(None),
            WebhookDelivery.locked_until < func.clock_timestamp(),
        ),
    )


def next_webhook(session: Session) -> int | None:
    """The webhook whose delivery has waited longest, of those that may be called now."""
    return session.scalar(
        select(Webhook.id)
        .join(WebhookDelivery, WebhookDelivery.webhook_id == Webhook.id)
        .where(*due(), Webhook.is_enabled, busy() < AT_ONCE)
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(1)
    )


def claim(session: Session, webhook_id: int) -> Call | None:
    """Take the delivery of a webhook that has waited longest, if others left any and room for it.

    Whoever claims of one webhook waits for the others and counts again what they left, so that it
    is never called more often than :data:`AT_ONCE` at a time.
    """
    session.execute(
        select(Webhook.id).where(Webhook.id == webhook_id).with_for_update(key_share=True)
    )
    row = session.execute(
        select(WebhookDelivery, Webhook)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(Webhook.id == webhook_id, *due(), Webhook.is_enabled, busy() < AT_ONCE)
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(1)
        .with_for_update(of=WebhookDelivery, skip_locked=True)
    ).first()
    if row is None:
        return None
    delivery, webhook = row
    delivery.attempts += 1
    delivery.locked_until = func.clock_timestamp() + LEASE
    session.add(WebhookAttempt(delivery_id=delivery.id, attempt=delivery.attempts))
    session.flush()
    unreadable = None
    secrets: tuple[str, ...] = ()
    try:
        secrets = secrets_of(webhook)
    except Problem as problem:
        unreadable = problem.text("en")
    return Call(
        delivery_id=delivery.id,
        message_id=delivery.replay_of or delivery.uuid,
        attempt=delivery.attempts,
        url=webhook.url,
        body=delivery.body,
        secrets=secrets,
        unreadable=unreadable,
    )


def busy() -> Any:
    """How many calls of one webhook are under way."""
    other = aliased(WebhookDelivery)
    return (
        select(func.count())
        .where(
            other.webhook_id == Webhook.id,
            other.status == S.PENDING.value,
            other.locked_until > func.clock_timestamp(),
        )
        .correlate(Webhook)
        .scalar_subquery()
    )


def secrets_of(webhook: Webhook) -> tuple[str, ...]:
    """The secrets that sign now: after a rotation the one before, too, for a time.

    Raises:
        KeyFileUnusable, SecretUnreadable: see :func:`decrypt`.
    """
    context = context_of(Webhook.__table__.c.secret, uuid=webhook.uuid)
    found = [decrypt(webhook.secret, context)]
    until = webhook.previous_until
    if webhook.previous_secret is not None and until is not None and until > datetime.now(UTC):
        context = context_of(Webhook.__table__.c.previous_secret, uuid=webhook.uuid)
        found.append(decrypt(webhook.previous_secret, context))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended."""

    milliseconds: int
    status: int | None = None
    text: str | None = None
    error: str | None = None
    retry_after: int | None = None

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300


def perform(call: Call) -> Answer:
    """Call the receiver. Redirects are not followed, so the signature goes where it was meant to.

    What the log keeps names the kind of failure, never the request and its signature.
    """
    if call.unreadable is not None:
        return Answer(0, error=call.unreadable)
    now = datetime.now(UTC)
    message = str(call.message_id)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Signer(secret).sign(message, now, call.body) for secret in call.secrets
        ),
    }
    began = time.monotonic()
    try:
        with (
            outgoing.client(timeout=CALL_SECONDS) as client,
            client.stream("POST", call.url, content=call.body.encode(), headers=headers) as answer,
        ):
            took = _since(began)
            text = _beginning_of(answer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Answer(_since(began), error=f"{type(error).__name__}: {error}"[:500])
    after = answer.headers.get("retry-after", "")
    return Answer(
        took,
        status=answer.status_code,
        text=text,
        retry_after=int(after) if after.isdecimal() and len(after) < 6 else None,
    )


def _beginning_of(answer: httpx.Response) -> str:
    """What of an answer's body can be had: by its status the receiver has said all that counts."""
    read = b""
    with contextlib.suppress(httpx.HTTPError):
        for chunk in answer.iter_raw():
            read += chunk
            if len(read) >= 4 * KEPT_ANSWER:  # bytes of as many characters
                break
    try:
        text = read.decode(answer.charset_encoding or "utf-8", "replace")
    except (LookupError, ValueError):  # what it calls an encoding is none, or none of text
        text = read.decode("utf-8", "replace")
    return clean_text(text)[:KEPT_ANSWER]


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def conclude(session: Session, call: Call, answer: Answer) -> None:
    """Record how a call ended, and when to try again if it did not succeed."""
    session.execute(
        update(WebhookAttempt)
        .where(
            WebhookAttempt.delivery_id == call.delivery_id, WebhookAttempt.attempt == call.attempt
        )
        .values(
            duration_ms=answer.milliseconds,
            status_code=answer.status,
            error=answer.error,
            response=answer.text,
        )
    )
    row = session.execute(
        select(WebhookDelivery, Webhook)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(
            WebhookDelivery.id == call.delivery_id,
            # Another worker may have taken it over when this one's lease ran out.
            WebhookDelivery.attempts == call.attempt,
            WebhookDelivery.status == S.PENDING.value,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()
    if row is None:
        return
    delivery, webhook = row
    delivery.locked_until = None
    if answer.taken:
        delivery.status, delivery.ended_at = S.DELIVERED.value, func.clock_timestamp()
        _note_failing(session, webhook, None)
        return
    delay = rules.retry_delay(call.attempt, random.random())  # noqa: S311  (spreads load, no secret)
    if delay is None:
        delivery.status, delivery.ended_at = S.FAILED.value, func.clock_timestamp()
    else:
        if answer.retry_after is not None:
            wanted = timedelta(seconds=min(answer.retry_after, 3600))
            delay = max(delay, wanted)
        delivery.next_attempt_at = func.clock_timestamp() + delay
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    since = webhook.failing_since or now
    _note_failing(session, webhook, since)
    if answer.status == 410:
        disable(session, webhook, "gone")
    elif now - since >= rules.DISABLE_AFTER:
        disable(session, webhook, "failing")


def _note_failing(session: Session, webhook: Webhook, since: datetime | None) -> None:
    if webhook.failing_since == since:
        return
    # No change of what its owner set, so its ETag stays.
    session.execute(
        update(Webhook)
        .where(Webhook.id == webhook.id)
        .values(failing_since=since, updated_at=Webhook.updated_at)
        .execution_options(synchronize_session=False)
    )


def disable(session: Session, webhook: Webhook, reason: str) -> None:
    """Switch a webhook off that has failed for long, and tell who made it.

    ``reason`` is ``failing`` or ``gone``. What waits for it is sent when it is switched on again.
    One that is off already, by another call or by its owner, stays as it is.
    """
    if not webhook.is_enabled:
        return
    webhook.is_enabled, webhook.disabled_reason = False, reason
    session.flush()
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.WEBHOOK_DISABLED,
        "webhook",
        webhook.uuid,
        project=webhook.project_uuid,
        name=webhook.name,
        reason=reason,
    )
    text = rules.DISABLED[reason]
    announce(
        session,
        NotificationType.WEBHOOK_DISABLED,
        to=[webhook.created_by],
        project=webhook.project_uuid,
        name=webhook.name,
        webhook=webhook.uuid,
        reason=text["en"],
        reason_zh=text["zh"],
    )


def deliver_next() -> bool:
    """Send one delivery that is due, or see that others did; False when none was due."""
    with transaction() as session:
        webhook_id = next_webhook(session)
    if webhook_id is None:
        return False
    with transaction() as session:
        call = claim(session, webhook_id)
    if call is None:
        return True
    answer = perform(call)
    with transaction() as session:
        conclude(session, call, answer)
    log.info(
        "webhook called",
        delivery=str(call.message_id),
        attempt=call.attempt,
        status=answer.status,
        ms=answer.milliseconds,
    )
    return True


def is_due(session: Session) -> bool:
    """Whether anything waits to be sent now."""
    waiting = (
        select(WebhookDelivery.id)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(*due(), Webhook.is_enabled)
    )
    return bool(session.scalar(select(exists(waiting))))

"""Webhook calls, repeated until the receiver accepts the delivery.

A worker claims a delivery for :data:`LEASE`, calls the webhook without a transaction, and records
the outcome. If the worker dies in between, the lease ends and the event is sent again with the
same ``webhook-id``. Events are therefore delivered at least once, and receivers can recognise
duplicates.
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
"""Maximum number of concurrent calls to a webhook.

Without this limit, a slow receiver would delay the others.
"""
MAX_KEPT_TEXT = 2000
"""Number of characters of a receiver's response kept in the log."""


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """A claimed delivery with all the data that its call needs."""

    delivery_id: int
    message_id: UUID
    attempt: int
    url: str
    body: str
    secrets: tuple[str, ...]
    unreadable: str | None = None


def due() -> Any:
    """Return the SQL conditions for deliveries to send now: pending, due, and not leased."""
    return (
        WebhookDelivery.status == S.PENDING.value,
        WebhookDelivery.next_attempt_at <= func.clock_timestamp(),
        or_(
            WebhookDelivery.locked_until.is_(None),
            WebhookDelivery.locked_until < func.clock_timestamp(),
        ),
    )


def next_webhook(session: Session) -> int | None:
    """Return the webhook whose delivery has waited longest, by id; None if none can be sent."""
    return session.scalar(
        select(Webhook.id)
        .join(WebhookDelivery, WebhookDelivery.webhook_id == Webhook.id)
        .where(*due(), Webhook.is_enabled, running_calls() < AT_ONCE)
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(1)
    )


def claim(session: Session, webhook_id: int) -> WebhookCall | None:
    """Claim the delivery to a webhook that has waited longest.

    Return None if other workers claimed all deliveries, or the limit of concurrent calls is
    reached. Claims for one webhook wait for each other, and each counts the running calls again, so
    no more than :data:`AT_ONCE` calls to the webhook ever run at the same time.
    """
    session.execute(
        select(Webhook.id).where(Webhook.id == webhook_id).with_for_update(key_share=True)
    )
    row = session.execute(
        select(WebhookDelivery, Webhook)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(Webhook.id == webhook_id, *due(), Webhook.is_enabled, running_calls() < AT_ONCE)
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
    return WebhookCall(
        delivery_id=delivery.id,
        message_id=delivery.replay_of or delivery.uuid,
        attempt=delivery.attempts,
        url=webhook.url,
        body=delivery.body,
        secrets=secrets,
        unreadable=unreadable,
    )


def running_calls() -> Any:
    """Return a subquery that counts the running calls to a webhook."""
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
    """Return the secrets that currently sign deliveries.

    For a time after a rotation, these include the previous secret.

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
class CallResult:
    """The result of a webhook call."""

    milliseconds: int
    status: int | None = None
    text: str | None = None
    error: str | None = None
    retry_after: int | None = None

    @property
    def accepted(self) -> bool:
        """True if the receiver accepted the delivery."""
        return self.status is not None and 200 <= self.status < 300


def perform(call: WebhookCall) -> CallResult:
    """Send a delivery to its receiver, and return the result.

    Redirects are not followed, so that the signature is sent only to the configured address. The
    logged error names the kind of failure, never the request or its signature.
    """
    if call.unreadable is not None:
        return CallResult(0, error=call.unreadable)
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
            text = _read_beginning(answer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return CallResult(_since(began), error=f"{type(error).__name__}: {error}"[:500])
    after = answer.headers.get("retry-after", "")
    return CallResult(
        took,
        status=answer.status_code,
        text=text,
        retry_after=int(after) if after.isdecimal() and len(after) < 6 else None,
    )


def _read_beginning(answer: httpx.Response) -> str:
    """Return the beginning of the response's body, or the part of it that can be read.

    The status code alone determines success, so an error while reading does not matter.
    """
    read = b""
    with contextlib.suppress(httpx.HTTPError):
        for chunk in answer.iter_raw():
            read += chunk
            if len(read) >= 4 * MAX_KEPT_TEXT:  # enough bytes for the wanted number of characters
                break
    try:
        text = read.decode(answer.charset_encoding or "utf-8", "replace")
    except (LookupError, ValueError):  # unknown encoding, or not a text encoding
        text = read.decode("utf-8", "replace")
    return clean_text(text)[:MAX_KEPT_TEXT]


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def record_result(session: Session, call: WebhookCall, result: CallResult) -> None:
    """Store the result of a call and, if it failed, the time of the next attempt."""
    session.execute(
        update(WebhookAttempt)
        .where(
            WebhookAttempt.delivery_id == call.delivery_id, WebhookAttempt.attempt == call.attempt
        )
        .values(
            duration_ms=result.milliseconds,
            status_code=result.status,
            error=result.error,
            response=result.text,
        )
    )
    row = session.execute(
        select(WebhookDelivery, Webhook)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(
            WebhookDelivery.id == call.delivery_id,
            # Another worker may have claimed the delivery after this one's lease ended.
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
    if result.accepted:
        delivery.status, delivery.ended_at = S.DELIVERED.value, func.clock_timestamp()
        _set_failing_since(session, webhook, None)
        return
    delay = rules.retry_delay(call.attempt, random.random())  # noqa: S311  (spreads load, no secret)
    if delay is None:
        delivery.status, delivery.ended_at = S.FAILED.value, func.clock_timestamp()
    else:
        if result.retry_after is not None:
            wanted = timedelta(seconds=min(result.retry_after, 3600))
            delay = max(delay, wanted)
        delivery.next_attempt_at = func.clock_timestamp() + delay
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    since = webhook.failing_since or now
    _set_failing_since(session, webhook, since)
    if result.status == 410:
        disable(session, webhook, "gone")
    elif now - since >= rules.DISABLE_AFTER:
        disable(session, webhook, "failing")


def _set_failing_since(session: Session, webhook: Webhook, since: datetime | None) -> None:
    if webhook.failing_since == since:
        return
    # The webhook's owner has not changed anything, so the ETag must not change.
    session.execute(
        update(Webhook)
        .where(Webhook.id == webhook.id)
        .values(failing_since=since, updated_at=Webhook.updated_at)
        .execution_options(synchronize_session=False)
    )


def disable(session: Session, webhook: Webhook, reason: str) -> None:
    """Switch off a webhook that has failed for a long time, and notify its creator.

    ``reason`` is ``failing`` or ``gone``. Waiting deliveries are sent once the webhook is switched
    on again. A webhook that has already been switched off by another call or a user is left as it
    is.
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
    """Send one due delivery. Return False if none was due.

    The result is also True if another worker claimed the delivery first.
    """
    with transaction() as session:
        webhook_id = next_webhook(session)
    if webhook_id is None:
        return False
    with transaction() as session:
        call = claim(session, webhook_id)
    if call is None:
        return True
    result = perform(call)
    with transaction() as session:
        record_result(session, call, result)
    log.info(
        "webhook called",
        delivery=str(call.message_id),
        attempt=call.attempt,
        status=result.status,
        ms=result.milliseconds,
    )
    return True


def is_due(session: Session) -> bool:
    """Return True if a delivery is due now."""
    waiting = (
        select(WebhookDelivery.id)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(*due(), Webhook.is_enabled)
    )
    return bool(session.scalar(select(exists(waiting))))

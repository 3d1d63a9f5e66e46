"""A project's webhooks. Managing them requires the same permission as managing members."""

import base64
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core import audit
from aiplatform.server.core.encryption import context_of, decrypt, encrypt
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.core.etags import require_match
from aiplatform.server.core.outgoing import OutgoingRefused, require_open_url
from aiplatform.server.notifications.errors import (
    TooManyWebhooks,
    WebhookDisabled,
    WebhookUrlRefused,
)
from aiplatform.server.notifications.models import Webhook, WebhookDelivery
from aiplatform.server.notifications.service.announce import PING, add_delivery, body_of, wake
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext

MAX_WEBHOOKS = 20
SECRET_BYTES = 32


def create_webhook(
    session: Session,
    context: ProjectContext,
    *,
    name: str,
    url: str,
    events: list[NotificationType],
) -> tuple[Webhook, str]:
    """Create a webhook. Return it with its secret, which is shown only once.

    Raises:
        WebhookUrlRefused: when the platform does not connect to the address.
        NameTaken: when the project has a webhook with that name.
        TooManyWebhooks: beyond :data:`MAX_WEBHOOKS`.
    """
    _check_url(url)
    queries.get_project(session, context, lock=True)
    named = session.scalars(
        select(Webhook.name).where(Webhook.project_id == context.project_id)
    ).all()
    if name in named:
        raise NameTaken(resource="webhook", name=name)
    if len(named) >= MAX_WEBHOOKS:
        raise TooManyWebhooks(limit=MAX_WEBHOOKS)
    uuid = uuid4()
    secret = new_secret()
    webhook = Webhook(
        uuid=uuid,
        project_id=context.project_id,
        project_uuid=context.project_uuid,
        name=name,
        url=url,
        events=_sorted(events),
        secret=_encrypt("secret", uuid, secret),
        created_by=context.principal.user_id,
    )
    session.add(webhook)
    session.flush()
    session.refresh(webhook)
    _record(session, context, AuditAction.WEBHOOK_CREATED, webhook, url=host_of(url), events=events)
    return webhook, secret


def update_webhook(
    session: Session,
    context: ProjectContext,
    uuid: UUID,
    changes: Mapping[str, Any],
    if_match: str | None,
) -> Webhook:
    """Change the name, address or events of a webhook, or switch it on or off.

    Raises:
        NotFound: when the project has no such webhook.
        PreconditionRequired, PreconditionFailed: see :func:`require_match`.
        WebhookUrlRefused, NameTaken: see :func:`create_webhook`.
    """
    webhook = queries.get_webhook(session, context, uuid, lock=True)
    require_match(if_match, webhook.updated_at, "webhook")
    wanted = dict(changes)
    if "events" in wanted:
        wanted["events"] = _sorted(wanted["events"])
    changed = {key: value for key, value in wanted.items() if getattr(webhook, key) != value}
    if not changed:
        return webhook
    if "url" in changed:
        _check_url(changed["url"])
    if "name" in changed and session.scalar(
        select(Webhook.id).where(
            Webhook.project_id == context.project_id, Webhook.name == changed["name"]
        )
    ):
        raise NameTaken(resource="webhook", name=changed["name"])
    before = {key: getattr(webhook, key) for key in changed}
    for key, value in changed.items():
        setattr(webhook, key, value)
    if changed.get("is_enabled"):
        webhook.failing_since = webhook.disabled_reason = None
        wake(session)
    session.flush()
    session.refresh(webhook)
    _record(
        session,
        context,
        AuditAction.WEBHOOK_UPDATED,
        webhook,
        before=_without_paths(before),
        after=_without_paths(changed),
    )
    return webhook


def rotate_secret(
    session: Session, context: ProjectContext, uuid: UUID, overlap: timedelta
) -> tuple[Webhook, str]:
    """Give a webhook a new secret, shown only once; the old secret also signs during ``overlap``.

    Raises:
        NotFound: when the project has no such webhook.
    """
    webhook = queries.get_webhook(session, context, uuid, lock=True)
    sealed_for = context_of(Webhook.__table__.c.secret, uuid=uuid)
    before = decrypt(webhook.secret, sealed_for)
    secret = new_secret()
    webhook.secret = _encrypt("secret", uuid, secret)
    if overlap > timedelta(0):
        webhook.previous_secret = _encrypt("previous_secret", uuid, before)
        webhook.previous_until = func.clock_timestamp() + overlap
    else:
        webhook.previous_secret = webhook.previous_until = None
    session.flush()
    session.refresh(webhook)
    _record(
        session,
        context,
        AuditAction.WEBHOOK_ROTATED,
        webhook,
        overlap_hours=overlap.total_seconds() / 3600,
    )
    return webhook, secret


def delete_webhook(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Delete a webhook with its log; waiting deliveries are not sent.

    Raises:
        NotFound: when the project has no such webhook.
    """
    webhook = queries.get_webhook(session, context, uuid, lock=True)
    _record(session, context, AuditAction.WEBHOOK_DELETED, webhook, url=host_of(webhook.url))
    session.delete(webhook)
    session.flush()


def test_webhook(session: Session, context: ProjectContext, uuid: UUID) -> WebhookDelivery:
    """Send a ``webhook:ping`` to a webhook, in the same way as an event.

    Raises:
        NotFound: when the project has no such webhook.
        WebhookDisabled: when it is switched off.
    """
    webhook = _enabled(session, context, uuid)
    body = body_of(
        PING,
        context.project_uuid,
        {"webhook": webhook.uuid},
        "Ping",
        "This is a test. If you can verify its signature, all is well.",
    )
    delivery = add_delivery(session, webhook, PING, body)
    _record(session, context, AuditAction.WEBHOOK_TESTED, webhook, delivery=delivery.uuid)
    return delivery


def replay_delivery(
    session: Session, context: ProjectContext, uuid: UUID, delivery_uuid: UUID
) -> WebhookDelivery:
    """Resend a logged event with the same ``webhook-id``.

    Raises:
        NotFound: when there is no such webhook or delivery.
        WebhookDisabled: when the webhook is switched off.
    """
    webhook = _enabled(session, context, uuid)
    first = queries.get_delivery(session, webhook, delivery_uuid)
    delivery = add_delivery(
        session, webhook, first.type, first.body, replay_of=first.replay_of or first.uuid
    )
    _record(session, context, AuditAction.WEBHOOK_REPLAYED, webhook, delivery=first.uuid)
    return delivery


def new_secret() -> str:
    """Return a new secret in the format of the Standard Webhooks specification."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def host_of(url: str) -> str:
    """Return an address for the audit trail, without path and query, which often contain tokens."""
    parsed = urlsplit(url)
    return f"{parsed.scheme}://{parsed.netloc}"


def _enabled(session: Session, context: ProjectContext, uuid: UUID) -> Webhook:
    webhook = queries.get_webhook(session, context, uuid)
    if not webhook.is_enabled:
        raise WebhookDisabled
    return webhook


def _check_url(url: str) -> None:
    try:
        require_open_url(url)
    except OutgoingRefused as error:
        raise WebhookUrlRefused(reason=str(error), reason_zh="") from error


def _encrypt(column: str, uuid: UUID, secret: str) -> bytes:
    return encrypt(secret, context_of(Webhook.__table__.c[column], uuid=uuid))


def _sorted(events: list[NotificationType]) -> list[str]:
    return sorted({str(kind) for kind in events})


def _without_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: host_of(value) if key == "url" else value for key, value in values.items()}


def _record(
    session: Session, context: ProjectContext, action: AuditAction, webhook: Webhook, **details: Any
) -> None:
    audit.record(
        session,
        context.actor,
        action,
        "webhook",
        webhook.uuid,
        project=context.project_uuid,
        name=webhook.name,
        **details,
    )

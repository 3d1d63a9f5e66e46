"""Statements for webhooks and their deliveries."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from aiplatform.server.core.errors import NotFound
from aiplatform.server.notifications.models import Webhook, WebhookAttempt, WebhookDelivery
from aiplatform.server.projects.access import ProjectContext


def list_webhooks(context: ProjectContext) -> Select[Any]:
    """Return a statement for the project's webhooks."""
    return select(Webhook).where(Webhook.project_id == context.project_id)


def get_webhook(
    session: Session, context: ProjectContext, uuid: UUID, *, lock: bool = False
) -> Webhook:
    """Return a webhook of the project.

    Raises:
        NotFound: when the project has no webhook with this uuid.
    """
    statement = list_webhooks(context).where(Webhook.uuid == uuid)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    webhook: Webhook | None = session.scalars(statement).one_or_none()
    if webhook is None:
        raise NotFound(resource="webhook")
    return webhook


def list_deliveries(webhook: Webhook) -> Select[Any]:
    """Return a statement for the deliveries of a webhook, both sent and waiting."""
    return select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)


def get_delivery(session: Session, webhook: Webhook, uuid: UUID) -> WebhookDelivery:
    """Return a delivery of a webhook.

    Raises:
        NotFound: when the webhook has no delivery with this uuid.
    """
    statement = list_deliveries(webhook).where(WebhookDelivery.uuid == uuid)
    delivery: WebhookDelivery | None = session.scalars(statement).one_or_none()
    if delivery is None:
        raise NotFound(resource="delivery")
    return delivery


def attempts_of(session: Session, delivery: WebhookDelivery) -> Sequence[WebhookAttempt]:
    """Return all calls that were made for a delivery."""
    return session.scalars(
        select(WebhookAttempt)
        .where(WebhookAttempt.delivery_id == delivery.id)
        .order_by(WebhookAttempt.attempt)
    ).all()

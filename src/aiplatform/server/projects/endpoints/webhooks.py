"""Routes for a project's webhooks and their delivery logs."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Response, status

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.notifications import (
    DeliveryDetailOut,
    DeliveryOut,
    NewWebhookOut,
    WebhookOut,
)
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import IfMatch, set_etag
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.notifications.models import Webhook, WebhookDelivery
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext, ProjectGuard, ResourcePath
from aiplatform.server.projects.schemas import (
    RotateIn,
    WebhookIn,
    WebhookPatch,
    render_delivery,
    render_detail,
    render_new_webhook,
    render_webhook,
)
from aiplatform.server.projects.service import webhooks as service

router = APIRouter(prefix="/api/v1", tags=["webhooks"])

CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "Name taken, too many, or switched off"}
}
CHANGED: dict[int | str, dict[str, Any]] = CONFLICT | {
    412: {"model": ProblemDocument, "description": "Changed since it was read"},
    428: {"model": ProblemDocument, "description": "If-Match is missing"},
}
WEBHOOK = ResourcePath(Webhook.uuid, Webhook.project_id, "webhook", "webhook")
# Addresses and deliveries are shown only to those who may change them, so reading requires the same
# permission.
_permission = Permission.MEMBERS_WRITE
List = Annotated[ProjectContext, Depends(ProjectGuard(_permission, writes=False))]
Create = Annotated[ProjectContext, Depends(ProjectGuard(_permission))]
Read = Annotated[ProjectContext, Depends(ProjectGuard(_permission, WEBHOOK, writes=False))]
Change = Annotated[ProjectContext, Depends(ProjectGuard(_permission, WEBHOOK))]
DeliveryUuid = Annotated[UUID, Path(description="uuid of the delivery")]


@router.get("/projects/{project}/webhooks", summary="List webhooks")
def list_webhooks(
    context: List, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[WebhookOut]:
    """List the project's webhooks, newest first, without their secrets."""
    rows, following = page_by_id(
        session, queries.list_webhooks(context), Webhook.id, limit=limit, cursor=cursor
    )
    return render_page(rows, following, render_webhook)


@router.post(
    "/projects/{project}/webhooks",
    summary="Create a webhook",
    status_code=status.HTTP_201_CREATED,
    responses=CONFLICT,
)
@sends_headers("ETag")
def create_webhook(
    body: WebhookIn, context: Create, session: SessionDep, response: Response
) -> NewWebhookOut:
    """Create a webhook: the project's events are sent to its address.

    The secret that signs the events is shown only once.
    """
    webhook, secret = service.create_webhook(
        session, context, name=body.name, url=body.url, events=body.events
    )
    set_etag(response, webhook.updated_at)
    return render_new_webhook(webhook, secret)


@router.get("/webhooks/{webhook}", summary="Read a webhook")
@sends_headers("ETag")
def read_webhook(
    webhook: UUID, context: Read, session: SessionDep, response: Response
) -> WebhookOut:
    """Return one webhook. Its ETag is needed to change it."""
    row = queries.get_webhook(session, context, webhook)
    set_etag(response, row.updated_at)
    return render_webhook(row)


@router.patch("/webhooks/{webhook}", summary="Change a webhook", responses=CHANGED)
@sends_headers("ETag")
def update_webhook(
    webhook: UUID,
    body: WebhookPatch,
    context: Change,
    session: SessionDep,
    response: Response,
    if_match: IfMatch = None,
) -> WebhookOut:
    """Change the given fields. When a webhook is switched on again, waiting events are sent."""
    changes = {
        key: value
        for key, value in body.model_dump(exclude_unset=True).items()
        if value is not None
    }
    row = service.update_webhook(session, context, webhook, changes, if_match)
    set_etag(response, row.updated_at)
    return render_webhook(row)


@router.delete(
    "/webhooks/{webhook}",
    summary="Delete a webhook",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=CONFLICT,
)
def delete_webhook(webhook: UUID, context: Change, session: SessionDep) -> None:
    """Delete a webhook with its log; waiting deliveries are not sent."""
    service.delete_webhook(session, context, webhook)


@router.post("/webhooks/{webhook}/rotate", summary="Rotate the secret", responses=CONFLICT)
def rotate_webhook(
    webhook: UUID, context: Change, session: SessionDep, body: RotateIn | None = None
) -> NewWebhookOut:
    """Give a webhook a new secret, shown only once. The old secret also signs for some hours."""
    hours = (body or RotateIn()).overlap_hours
    row, secret = service.rotate_secret(session, context, webhook, timedelta(hours=hours))
    return render_new_webhook(row, secret)


@router.post(
    "/webhooks/{webhook}/test",
    summary="Test a webhook",
    status_code=status.HTTP_202_ACCEPTED,
    responses=CONFLICT,
)
def test_webhook(webhook: UUID, context: Change, session: SessionDep) -> DeliveryOut:
    """Send a `webhook:ping`. Read the delivery to see the result."""
    return render_delivery(service.test_webhook(session, context, webhook))


@router.get("/webhooks/{webhook}/deliveries", summary="List deliveries")
def list_deliveries(
    webhook: UUID, context: Read, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[DeliveryOut]:
    """List sent and waiting deliveries, newest first. They are kept for 30 days."""
    row = queries.get_webhook(session, context, webhook)
    rows, following = page_by_id(
        session, queries.list_deliveries(row), WebhookDelivery.id, limit=limit, cursor=cursor
    )
    return render_page(rows, following, render_delivery)


@router.get("/webhooks/{webhook}/deliveries/{delivery}", summary="Read a delivery")
def read_delivery(
    webhook: UUID, delivery: DeliveryUuid, context: Read, session: SessionDep
) -> DeliveryDetailOut:
    """Return one delivery with its body and all calls made for it."""
    row = queries.get_delivery(session, queries.get_webhook(session, context, webhook), delivery)
    return render_detail(row, list(queries.attempts_of(session, row)))


@router.post(
    "/webhooks/{webhook}/deliveries/{delivery}/replay",
    summary="Replay a delivery",
    status_code=status.HTTP_202_ACCEPTED,
    responses=CONFLICT,
)
def replay_delivery(
    webhook: UUID, delivery: DeliveryUuid, context: Change, session: SessionDep
) -> DeliveryOut:
    """Send the event again, with the same `webhook-id`."""
    return render_delivery(service.replay_delivery(session, context, webhook, delivery))

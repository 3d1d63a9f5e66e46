"""Factories for projects, members, notifications, secrets, saved views and webhooks."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.encryption import context_of, encrypt
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import (
    Role,
    User,
)
from aiplatform.server.notifications.models import (
    Notification,
    NotificationDetails,
    Webhook,
    WebhookDelivery,
)
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import (
    BinEntry,
    Project,
    ProjectInvitation,
    ProjectPermission,
    SavedView,
)
from aiplatform.server.secrets.models import Secret
from tests.factories.numbers import number
from tests.factories.people import make_user


def make_project(
    session: Session, owner: User | None = None, *, name: str | None = None, **columns: Any
) -> Project:
    """Create a project, owned by a new user unless ``owner`` is given."""
    owner = owner or make_user(session)
    project = Project(name=name or f"project{number()}", owner_id=owner.id, **columns)
    session.add(project)
    session.commit()
    session.refresh(project)
    return project


def make_member(
    session: Session, project: Project, role: str | Role, user: User | None = None
) -> User:
    """Give a user (by default a new one) a role in the project and return the user."""
    user = user or make_user(session)
    if isinstance(role, str):
        role = session.scalars(select(Role).where(Role.name == role)).one()
    session.add(ProjectPermission(user_id=user.id, project_id=project.id, role_id=role.id))
    session.commit()
    return user


def make_project_invitation(session: Session, user: User) -> ProjectInvitation:
    """Create another user's project and an open invitation of ``user`` to it."""
    role = session.scalars(select(Role).where(Role.name == "viewer")).one()
    invitation = ProjectInvitation(
        project_id=make_project(session).id,
        user_id=user.id,
        username=user.username,
        role_id=role.id,
    )
    session.add(invitation)
    session.commit()
    session.refresh(invitation)
    return invitation


def make_context(
    session: Session, project: Project, user: User | None = None, *held: Permission | str
) -> ProjectContext:
    """Return the evidence that a project guard would return.

    By default, the user is the owner, and ``held`` contains all permissions.
    """
    if user is None:
        user = session.get_one(User, project.owner_id)
    permissions = frozenset(str(p) for p in held) or frozenset({"*"})
    principal = Principal(
        user_id=user.id,
        user_uuid=user.uuid,
        username=user.username,
        role=user.role,
        permissions=frozenset(),
        session_id=0,
        must_change_password=False,
        actor=Actor(user_id=user.id, user_uuid=user.uuid, username=user.username),
    )
    return ProjectContext(
        principal=principal,
        project_id=project.id,
        project_uuid=project.uuid,
        project_name=project.name,
        permissions=permissions,
    )


def make_binned_project(session: Session, like: Project, **columns: Any) -> Project:
    """Create a project that is in the bin, with the owner and members of ``like``."""
    project = Project(name=f"project{number()}", owner_id=like.owner_id, status="deleted")
    session.add(project)
    session.flush()
    grants = select(ProjectPermission).where(ProjectPermission.project_id == like.id)
    for grant in session.scalars(grants).all():
        session.add(
            ProjectPermission(user_id=grant.user_id, project_id=project.id, role_id=grant.role_id)
        )
    session.add(
        BinEntry(
            kind="project",
            project_id=project.id,
            resource_uuid=project.uuid,
            name=project.name,
            was_status="active",
            **{"purge_after": datetime.now(UTC) + timedelta(days=30), **columns},
        )
    )
    session.commit()
    session.refresh(project)
    return project


def make_notification(session: Session, user: User, **columns: Any) -> NotificationDetails:
    """Put a notification into a user's inbox and return its details, which include the uuid."""
    values = {"type": "task", "title": f"notification{number()}", "message": "text", **columns}
    row = Notification(user_id=user.id, **values)
    session.add(row)
    session.flush()
    details = NotificationDetails(notification_id=row.id)
    session.add(details)
    session.commit()
    session.refresh(details)
    return details


def make_secret(
    session: Session,
    owner: User | Project,
    value: str = "a value of tests",
    *,
    name: str | None = None,
) -> Secret:
    """Create a secret of a user or a project, encrypted as the application does."""
    row = Secret(uuid=uuid4(), name=name or f"secret{number()}", kind="generic")
    row.user_id = owner.id if isinstance(owner, User) else None
    row.project_id = owner.id if isinstance(owner, Project) else None
    row.value = encrypt(value, f"secret:{row.uuid}")
    session.add(row)
    session.commit()
    session.refresh(row)
    return row


def make_view(
    session: Session, project: Project, user: User, *, name: str | None = None, **columns: Any
) -> SavedView:
    """Create a saved view of the list of tasks."""
    columns = {"page": "tasks", "state": {"status": "failed"}, "shared": True} | columns
    row = SavedView(
        project_id=project.id, user_id=user.id, name=name or f"view{number()}", **columns
    )
    session.add(row)
    session.commit()
    session.refresh(row)
    return row


def make_webhook(
    session: Session,
    project: Project,
    *,
    url: str = "https://receiver.example.com/",
    secret: str = "whsec_" + base64.b64encode(b"s" * 32).decode(),
    **columns: Any,
) -> Webhook:
    """Create a webhook for all events."""
    uuid = uuid4()
    context = context_of(Webhook.__table__.c.secret, uuid=uuid)
    values = {"name": f"webhook{number()}", "events": [], **columns}
    row = Webhook(
        uuid=uuid,
        project_id=project.id,
        project_uuid=project.uuid,
        url=url,
        secret=encrypt(secret, context),
        **values,
    )
    session.add(row)
    session.commit()
    session.refresh(row)
    return row


def make_delivery(
    session: Session, webhook: Webhook, *, body: str = "{}", **columns: Any
) -> WebhookDelivery:
    """Create a delivery that is waiting to be sent to a webhook."""
    values = {"type": "task:failed", "uuid": uuid4(), **columns}
    row = WebhookDelivery(webhook_id=webhook.id, body=body, **values)
    session.add(row)
    session.commit()
    session.refresh(row)
    return row

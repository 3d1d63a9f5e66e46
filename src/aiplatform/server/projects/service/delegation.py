"""Acting on behalf of a user who requested work earlier, with the user's current permissions."""

from typing import Any

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ProjectStatus
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.access import Principal, key_is_valid, limit_permissions
from aiplatform.server.identity.models import ApiKey, Role, User
from aiplatform.server.identity.rules import PLAIN_USER
from aiplatform.server.projects.access import ProjectContext, add_membership, project_permissions
from aiplatform.server.projects.errors import KeyGone, OwnerInactive, ProjectArchived
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.rules import DELETED


def context_on_behalf_of(
    session: Session, user_id: int | None, project_id: int, *, key_id: int | None = None
) -> ProjectContext:
    """Return the project context that a guard would now return for the user, without a request.

    The project's row is locked against archiving and deletion.

    Args:
        session: the database session.
        user_id: the user on whose behalf the work is done.
        project_id: the project.
        key_id: the API key with which the work was requested. Its scopes limit the permissions, and
            nothing is permitted once it is revoked or has expired.

    Raises:
        KeyGone: when the key is no longer valid.
        OwnerInactive: when the account is deactivated or deleted.
        NotFound: when the project is gone, or the user can no longer see it.
        ProjectArchived: when the project is archived.
    """
    statement: Any = (
        select(
            User.id.label("user_id"),
            User.uuid.label("user_uuid"),
            User.username,
            User.role,
            User.is_active,
            Role.permissions,
            ApiKey.id.label("key_id"),
            ApiKey.uuid.label("key_uuid"),
            ApiKey.scopes.label("key_scopes"),
            ApiKey.project_id.label("key_project_id"),
            key_is_valid().label("key_is_valid"),
        )
        .select_from(User)
        .outerjoin(Role, Role.name == User.role)
        .outerjoin(ApiKey, and_(ApiKey.id == key_id, ApiKey.user_id == User.id))
        .join(Project, Project.id == project_id)
        .where(User.id == user_id)
    )
    row = session.execute(
        add_membership(statement).with_for_update(read=True, of=Project)
    ).one_or_none()
    if row is None:
        if session.get(Project, project_id) is None:
            raise NotFound(resource="project")
        raise OwnerInactive(username="?")
    if not row.is_active:
        raise OwnerInactive(username=row.username)
    if key_id is not None and not row.key_is_valid:
        raise KeyGone
    permissions, key = limit_permissions(
        row.permissions, row.key_id, row.key_uuid, row.key_scopes, row.key_project_id
    )
    principal = Principal(
        user_id=row.user_id,
        user_uuid=row.user_uuid,
        username=row.username,
        role=row.role or PLAIN_USER,
        permissions=permissions,
        session_id=0,
        must_change_password=False,
        actor=Actor(
            user_id=row.user_id,
            user_uuid=row.user_uuid,
            username=row.username,
            key_uuid=row.key_uuid,
        ),
        key=key,
    )
    held = project_permissions(row, principal)
    if held is None or row.project_status == DELETED:
        raise NotFound(resource="project")
    if row.project_status == ProjectStatus.ARCHIVED:
        raise ProjectArchived
    return ProjectContext(
        principal=principal,
        project_id=row.project_id,
        project_uuid=row.project_uuid,
        project_name=row.project_name,
        permissions=held,
    )

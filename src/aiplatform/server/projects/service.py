"""Use cases of projects and their members.

Names are unique among the projects of one owner: two owners may both have a ``demo``, but nobody
has two that they can't tell apart.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.permissions import PROJECT_RESOURCES, WILDCARD
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NameTaken, NotFound
from aiplatform.server.core.etags import require_match
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.identity.models import Role, User
from aiplatform.server.identity.queries import find_role, find_user
from aiplatform.server.identity.rules import lacking
from aiplatform.server.notifications.service import notify_user
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.errors import OwnerIsNoMember, ProjectArchived
from aiplatform.server.projects.models import Project, ProjectPermission

OnDelete = Callable[[Session, Actor, int, UUID], None]
"""Called in the deletion's transaction with the project's id and uuid; its rows still stand."""

_on_delete: list[OnDelete] = []


def on_delete(handler: OnDelete) -> None:
    """Let a higher domain act when a project goes; the composition root calls this."""
    if handler not in _on_delete:
        _on_delete.append(handler)


def create_project(
    session: Session,
    principal: Principal,
    *,
    name: str,
    description: str | None = None,
    config: Mapping[str, Any] | None = None,
    tags: list[str] | None = None,
) -> Project:
    """Make a project that the caller owns.

    Raises:
        NameTaken: when they own one of that name.
    """
    _lock_names(session, principal.user_id)
    if queries.name_in_use(session, principal.user_id, name):
        raise NameTaken(resource="project", name=name)
    project = Project(
        name=name,
        description=description,
        owner_id=principal.user_id,
        status=ProjectStatus.ACTIVE,
        config=dict(config or {}),
        tags=list(tags or ()),
    )
    session.add(project)
    session.flush()
    audit.record(
        session,
        principal.actor,
        AuditAction.PROJECT_CREATED,
        "project",
        project.uuid,
        project=project.uuid,
        name=name,
    )
    return project


def update_project(
    session: Session, context: ProjectContext, changes: Mapping[str, Any], if_match: str | None
) -> tuple[Project, User | None]:
    """Change name, description, status, config or tags; what stays the same is no change.

    An archived project takes nothing but being activated, alone or together with other changes.

    Raises:
        PreconditionRequired, PreconditionFailed: see :func:`require_match`.
        ProjectArchived, NameTaken.
    """
    project, owner = queries.get_project(session, context, lock=True)
    require_match(if_match, project.updated_at, "project")
    changed = {key: value for key, value in changes.items() if getattr(project, key) != value}
    if not changed:
        return project, owner
    if project.status == ProjectStatus.ARCHIVED and changed.get("status") != ProjectStatus.ACTIVE:
        raise ProjectArchived
    if "name" in changed and project.owner_id is not None:
        _lock_names(session, project.owner_id)
        if queries.name_in_use(session, project.owner_id, changed["name"], but=project.uuid):
            raise NameTaken(resource="project", name=changed["name"])
    before = {key: getattr(project, key) for key in changed}
    for key, value in changed.items():
        setattr(project, key, value)
    session.flush()
    audit.record(
        session,
        context.actor,
        AuditAction.PROJECT_UPDATED,
        "project",
        project.uuid,
        project=project.uuid,
        before=before,
        after=changed,
    )
    return project, owner


def delete_project(session: Session, context: ProjectContext) -> None:
    """Delete the project and all that belongs to it.

    Its row is locked first, so whoever adds to it meanwhile waits and then finds it gone.
    """
    project, _ = queries.get_project(session, context, lock=True)
    for handler in _on_delete:
        handler(session, context.actor, project.id, project.uuid)
    audit.record(
        session,
        context.actor,
        AuditAction.PROJECT_DELETED,
        "project",
        project.uuid,
        project=project.uuid,
        name=project.name,
    )
    session.flush()
    # The schema's own foreign keys decide what goes with it and what is only let go.
    session.execute(
        delete(Project).where(Project.id == project.id).execution_options(synchronize_session=False)
    )


def set_member(
    session: Session, context: ProjectContext, user_name: str, role_name: str
) -> tuple[ProjectPermission, User, Role]:
    """Give a user, named by uuid or user name, a role in the project, in place of the one they had.

    Raises:
        NotFound: for a user or role that does not exist.
        OwnerIsNoMember: for the owner, who holds everything already.
        PermissionDenied: when the new or the old role grants what the caller lacks.
    """
    user = find_user(session, user_name)
    _refuse_owner(session, context, user)
    role = find_role(session, role_name)
    _refuse_beyond(context, role)
    found = queries.get_grant(session, context, user.id)
    if found is None:
        grant = ProjectPermission(user_id=user.id, project_id=context.project_id, role_id=role.id)
        session.add(grant)
        session.flush()
        _record_member(session, context, AuditAction.MEMBER_ADDED, user, role=role.name)
        notify_user(
            session,
            user.id,
            "member:added",
            f"You were added to {context.project_name}",
            f"{context.principal.username} gave you the role {role.name}.",
            project=context.project_uuid,
            role=role.name,
        )
        return grant, user, role
    grant, before = found
    if before.id != role.id:
        _refuse_beyond(context, before)
        grant.role_id = role.id
        session.flush()
        _record_member(
            session, context, AuditAction.MEMBER_CHANGED, user, role=role.name, before=before.name
        )
    return grant, user, role


def remove_member(session: Session, context: ProjectContext, user_name: str) -> None:
    """Take a user's role in the project away.

    Raises:
        NotFound: when they have none.
        OwnerIsNoMember: for the owner.
        PermissionDenied: when they hold what the caller lacks.
    """
    user = find_user(session, user_name)
    _refuse_owner(session, context, user)
    found = queries.get_grant(session, context, user.id)
    if found is None:
        raise NotFound(resource="member")
    grant, role = found
    _refuse_beyond(context, role)
    session.delete(grant)
    session.flush()
    _record_member(session, context, AuditAction.MEMBER_REMOVED, user, role=role.name)


def _lock_names(session: Session, owner_id: int) -> None:
    """One naming of an owner's projects at a time."""
    session.execute(select(User.id).where(User.id == owner_id).with_for_update(key_share=True))


def _refuse_owner(session: Session, context: ProjectContext, user: User) -> None:
    # Locked, so that a grant and a deletion or transfer of the project do not cross.
    project, _ = queries.get_project(session, context, lock=True)
    if project.owner_id == user.id:
        raise OwnerIsNoMember(username=user.username)


def _refuse_beyond(context: ProjectContext, role: Role) -> None:
    """Nobody grants, or takes, what they lack themselves. A role counts by what it gives here."""
    reaching = [
        permission
        for permission in role.permissions
        if permission == WILDCARD or permission.partition(":")[0] in PROJECT_RESOURCES
    ]
    missing = lacking(context.permissions, reaching)
    if missing:
        raise PermissionDenied(permission=", ".join(missing))


def _record_member(
    session: Session, context: ProjectContext, action: AuditAction, user: User, **details: Any
) -> None:
    audit.record(
        session,
        context.actor,
        action,
        "member",
        user.uuid,
        project=context.project_uuid,
        username=user.username,
        **details,
    )

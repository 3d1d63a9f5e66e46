"""Projects: create, change, archive and delete them.

Names are unique among the projects of one owner: two owners may both have a ``demo``, but nobody
has two projects with the same name.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.core.etags import require_match
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.identity.models import User
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext, confirm
from aiplatform.server.projects.errors import ProjectArchived
from aiplatform.server.projects.models import BinEntry, Project
from aiplatform.server.projects.rules import DELETED, days_in_bin, stored_retention
from aiplatform.server.projects.service import bin as project_bin

OnDelete = Callable[[Session, Actor, int, UUID], None]
"""Callback (session, actor, project id, project uuid), called while the rows still exist.

It runs in the transaction of the deletion or archiving.
"""

_on_delete: list[OnDelete] = []
_on_archive: list[OnDelete] = []


def on_delete(handler: OnDelete) -> None:
    """Register a handler for the deletion of projects; called by the composition root."""
    if handler not in _on_delete:
        _on_delete.append(handler)


def on_archive(handler: OnDelete) -> None:
    """Register a handler for the archiving of projects; called by the composition root."""
    if handler not in _on_archive:
        _on_archive.append(handler)


def create_project(
    session: Session,
    principal: Principal,
    *,
    name: str,
    description: str | None = None,
    config: Mapping[str, Any] | None = None,
    tags: list[str] | None = None,
) -> Project:
    """Create a project that the caller owns.

    Raises:
        NameTaken: when the caller owns a project with that name.
    """
    queries.lock_names(session, principal.user_id)
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
    """Change name, description, status, config or tags; unchanged values are ignored.

    An archived project can only be changed by a request that also activates it.

    Raises:
        PreconditionRequired, PreconditionFailed: see :func:`require_match`.
        PermissionDenied: for a change of status, days in the bin or retention policy, if the caller
            does not hold all permissions in the project.
        ProjectArchived: when the project is archived, and the request does not activate it.
        NameTaken: when the owner has another project with that name.
    """
    project, context = _lock(session, context)
    owner = None if project.owner_id is None else session.get(User, project.owner_id)
    require_match(if_match, project.updated_at, "project")
    changed = {key: value for key, value in changes.items() if getattr(project, key) != value}
    if not changed:
        return project, owner
    # With 0 days in the bin, deleting is purging, and the retention policy deletes without a
    # request. Both therefore require all permissions in the project.
    changes_deletion = "config" in changed and (
        days_in_bin(changed["config"], -1) != days_in_bin(project.config, -1)
        or stored_retention(changed["config"]) != stored_retention(project.config)
    )
    if ("status" in changed or changes_deletion) and WILDCARD not in context.permissions:
        raise PermissionDenied(permission=WILDCARD)
    if project.status == ProjectStatus.ARCHIVED and changed.get("status") != ProjectStatus.ACTIVE:
        raise ProjectArchived
    if "name" in changed and project.owner_id is not None:
        queries.lock_names(session, project.owner_id)
        if queries.name_in_use(session, project.owner_id, changed["name"], excluding=project.uuid):
            raise NameTaken(resource="project", name=changed["name"])
    before = {key: getattr(project, key) for key in changed}
    if "status" in changed:
        _change_status(session, context, project, changed.pop("status"))
    if not changed:
        return project, owner
    before.pop("status", None)
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


def set_archived(session: Session, context: ProjectContext, archived: bool) -> Project:
    """Archive or reactivate a project; do nothing if it already has that status.

    Raises:
        NotFound, Unauthenticated, PermissionDenied: when the caller has since lost the permission.
    """
    project, context = _lock_with_all_permissions(session, context)
    wanted = ProjectStatus.ARCHIVED if archived else ProjectStatus.ACTIVE
    if (project.status or ProjectStatus.ACTIVE) != wanted:
        _change_status(session, context, project, wanted)
    return project


def _lock(session: Session, context: ProjectContext) -> tuple[Project, ProjectContext]:
    """Lock the project against other changes; return it and the context, reread under the lock."""
    project = queries.lock_project(session, context.project_id)
    return project, confirm(session, context, Permission.PROJECTS_WRITE, writes=False)


def _lock_with_all_permissions(
    session: Session, context: ProjectContext
) -> tuple[Project, ProjectContext]:
    """Lock the project as :func:`_lock` does, and require all permissions in it."""
    project, now = _lock(session, context)
    if WILDCARD not in now.permissions:
        raise PermissionDenied(permission=WILDCARD)
    return project, now


def _change_status(
    session: Session, context: ProjectContext, project: Project, status: ProjectStatus
) -> None:
    """Set the project's status and record the change.

    Archiving cancels all of the project's tasks and so stops its deployments.
    """
    project.status = status
    session.flush()
    archived = status == ProjectStatus.ARCHIVED
    if archived:
        for handler in _on_archive:
            handler(session, context.actor, project.id, project.uuid)
    audit.record(
        session,
        context.actor,
        AuditAction.PROJECT_ARCHIVED if archived else AuditAction.PROJECT_UNARCHIVED,
        "project",
        project.uuid,
        project=project.uuid,
        name=project.name,
    )


def delete_project(session: Session, context: ProjectContext) -> BinEntry:
    """Put the project with all its content into the bin, and stop its tasks.

    Its row is locked first, so that an upload that is about to finish waits for the lock and then
    finds that the project no longer exists.

    Raises:
        NotFound, Unauthenticated, PermissionDenied: when the caller has lost the permission, for
            instance through a transfer: nobody may delete someone else's project.
    """
    project, context = _lock_with_all_permissions(session, context)
    before, project.status = project.status, DELETED
    session.flush()
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
    return project_bin.add_entry(
        session,
        context.actor,
        kind=project_bin.PROJECT,
        project_id=project.id,
        resource_uuid=project.uuid,
        name=project.name,
        was_status=before,
    )

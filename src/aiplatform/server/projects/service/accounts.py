"""Projects of deleted accounts, and memberships granted by invitations to new accounts."""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import and_, delete, select, union_all
from sqlalchemy.orm import Session, aliased

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.permissions import WILDCARD, Permission, grants
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NameTaken, NotFound
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import OwnsProjects, PermissionDenied
from aiplatform.server.identity.models import Role, User
from aiplatform.server.identity.queries import find_role, global_permissions
from aiplatform.server.identity.rules import missing_permissions
from aiplatform.server.identity.service import ProjectRole
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects.access import filter_project_permissions
from aiplatform.server.projects.errors import NewOwnerNotAMember, ProjectArchived
from aiplatform.server.projects.models import Project, ProjectInvitation, ProjectPermission
from aiplatform.server.projects.queries import is_member, not_in_bin
from aiplatform.server.projects.rules import DELETED

OnTransfer = Callable[[Session, Project, User], None]
"""Callback (session, project, new owner), called before the change; it raises to reject it."""

_on_transfer: list[OnTransfer] = []


def on_transfer(handler: OnTransfer) -> None:
    """Register a callback that may reject a new owner; called by the composition root."""
    if handler not in _on_transfer:
        _on_transfer.append(handler)


def check_transfer(session: Session, project: Project, owner: User) -> None:
    """Call all handlers registered with :func:`on_transfer`."""
    for handler in _on_transfer:
        handler(session, project, owner)


MAX_LISTED = 10
"""Maximum number of projects listed in an error. The count in the error includes all."""


def transfer_projects_of(
    session: Session, actor: Actor, user: User, successor: User | None, needs_consent: bool
) -> None:
    """Transfer all projects of an account that is being deleted to ``successor``.

    With ``needs_consent``, only members of a project can become its owner.

    Raises:
        OwnsProjects: without a successor, if the account owns projects.
        NewOwnerNotAMember: with ``needs_consent``, when the successor is not a member of one of the
            projects.
        NameTaken: when the successor owns a project with the same name.
        DeploymentNamesShared: with ``needs_consent``, when the successor owns deployments with the
            same names.
    """
    owned = session.scalars(
        select(Project)
        .where(Project.owner_id == user.id)
        .order_by(Project.id)
        # The same lock as in ``queries.lock_project``.
        .with_for_update(key_share=True)
    ).all()
    if not owned:
        return
    if successor is None:
        raise OwnsProjects(
            username=user.username,
            names=", ".join(project.name for project in owned[:MAX_LISTED]),
            count=len(owned),
            projects=[
                {"uuid": project.uuid, "name": project.name} for project in owned[:MAX_LISTED]
            ],
        )
    theirs = set(
        session.scalars(select(Project.name).where(Project.owner_id == successor.id, not_in_bin))
    )
    for project in owned:
        if needs_consent and not is_member(session, project.id, successor.id):
            raise NewOwnerNotAMember(username=successor.username, project=project.name)
        if project.name in theirs and project.status != DELETED:
            raise NameTaken(resource="project", name=project.name)
        if needs_consent:
            check_transfer(session, project, successor)
        project.owner_id = successor.id
        session.execute(
            delete(ProjectPermission)
            .where(
                ProjectPermission.project_id == project.id,
                ProjectPermission.user_id == successor.id,
            )
            .execution_options(synchronize_session=False)
        )
        session.flush()
        audit.record(
            session,
            actor,
            AuditAction.PROJECT_TRANSFERRED,
            "project",
            project.uuid,
            project=project.uuid,
            before={"uuid": user.uuid, "username": user.username},
            after={"uuid": successor.uuid, "username": successor.username},
            kept_role=None,
        )
        announce(
            session,
            NotificationType.PROJECT_RECEIVED,
            to=[successor.id],
            project=project.uuid,
            project_name=project.name,
            owner=successor.username,
            by=actor.username,
        )


def has_more_permissions(session: Session, principal: Principal, user: User) -> bool:
    """Return True if the user owns a project or holds a project permission the principal lacks.

    The role of an open invitation counts, too, because anyone who controls the account can accept
    it. So does a project in the bin, because its owner can restore it. The principal must not hold
    a global ``*``.
    """
    if session.scalar(select(Project.id).where(Project.owner_id == user.id).limit(1)) is not None:
        return True
    theirs = union_all(
        *(
            select(table.project_id, table.role_id).where(table.user_id == user.id)
            for table in (ProjectPermission, ProjectInvitation)
        )
    ).subquery()
    mine = aliased(ProjectPermission)
    my_role, their_role = aliased(Role), aliased(Role)
    rows = session.execute(
        select(
            Project.id,
            Project.owner_id,
            their_role.permissions.label("theirs"),
            my_role.permissions.label("mine"),
        )
        .join(theirs, theirs.c.project_id == Project.id)
        .join(their_role, their_role.id == theirs.c.role_id)
        .outerjoin(mine, and_(mine.project_id == Project.id, mine.user_id == principal.user_id))
        .outerjoin(my_role, my_role.id == mine.role_id)
    )
    for row in rows:
        held = frozenset(filter_project_permissions(row.mine or ()))
        if row.owner_id == principal.user_id or principal.reaches_all_projects:
            held = frozenset({WILDCARD})
        held = principal.limit_to_scopes(held) if principal.reaches(row.id) else frozenset()
        if missing_permissions(held, filter_project_permissions(row.theirs or ())):
            return True
    return False


def check_invitation(
    session: Session, inviter: User, project_uuid: UUID, role_name: str
) -> ProjectRole:
    """Return the membership that an account invitation grants, if the inviter may grant it.

    Raises:
        NotFound: for a project that the inviter can't see, or a role that does not exist.
        PermissionDenied: when the inviter lacks ``members:write`` in the project, or the role
            grants more than the inviter has.
    """
    project = session.scalar(select(Project).where(Project.uuid == project_uuid, not_in_bin))
    if project is None:
        raise NotFound(resource="project")
    role = find_role(session, role_name)
    _require_may_grant(session, inviter, project, role)
    return ProjectRole(project.id, role.id)


def join_invited(
    session: Session, inviter: User, user: User, actor: Actor, membership: ProjectRole
) -> None:
    """Make an invited user a member of the project.

    Raises:
        NotFound, PermissionDenied: when the inviter can no longer grant the membership.
    """
    lock = {"key_share": True}
    project = session.get(Project, membership.project_id, with_for_update=lock)
    role = session.get(Role, membership.role_id)
    if project is None or role is None or project.status == DELETED:
        raise NotFound(resource="project")
    _require_may_grant(session, inviter, project, role)
    session.add(ProjectPermission(user_id=user.id, project_id=project.id, role_id=role.id))
    session.flush()
    audit.record(
        session,
        actor,
        AuditAction.MEMBER_ADDED,
        "member",
        user.uuid,
        project=project.uuid,
        username=user.username,
        role=role.name,
        invited_by={"uuid": inviter.uuid, "username": inviter.username},
    )


def describe_projects(session: Session, ids: list[int]) -> dict[int, tuple[UUID, str]]:
    """Return the uuids and names of projects by their ids."""
    rows = session.execute(
        select(Project.id, Project.uuid, Project.name).where(Project.id.in_(ids))
    )
    return {row.id: (row.uuid, row.name) for row in rows}


def _require_may_grant(session: Session, inviter: User, project: Project, role: Role) -> None:
    held = _held(session, inviter, project)
    if held is None:
        raise NotFound(resource="project")
    if project.status == ProjectStatus.ARCHIVED:
        raise ProjectArchived
    if not grants(held, Permission.MEMBERS_WRITE):
        raise PermissionDenied(permission=str(Permission.MEMBERS_WRITE))
    missing = missing_permissions(held, filter_project_permissions(role.permissions))
    if missing:
        raise PermissionDenied(permission=", ".join(missing))


def _held(session: Session, user: User, project: Project) -> frozenset[str] | None:
    """Return the user's permissions in the project; None if the user can't see it."""
    if project.owner_id == user.id or WILDCARD in global_permissions(session, user.role):
        return frozenset({WILDCARD})
    role = session.scalar(
        select(Role)
        .join(ProjectPermission, ProjectPermission.role_id == Role.id)
        .where(ProjectPermission.project_id == project.id, ProjectPermission.user_id == user.id)
    )
    return None if role is None else filter_project_permissions(role.permissions)

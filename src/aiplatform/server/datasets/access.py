"""Guards of datasets, and a second look after a long upload."""

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import PermissionDenied, Unauthenticated
from aiplatform.server.identity.models import AuthSession, Role, User
from aiplatform.server.projects.access import (
    MemberRole,
    ProjectContext,
    ProjectGuard,
    StreamingGuard,
    Via,
    project_permissions,
)
from aiplatform.server.projects.errors import ProjectArchived
from aiplatform.server.projects.models import Project, ProjectPermission

DATASET = Via(Dataset.uuid, Dataset.project_id, "dataset", "dataset")

LIST = ProjectGuard(Permission.DATASETS_READ)
UPLOAD = StreamingGuard(Permission.DATASETS_WRITE)
READ = ProjectGuard(Permission.DATASETS_READ, DATASET)
WRITE = ProjectGuard(Permission.DATASETS_WRITE, DATASET)
COMMIT = StreamingGuard(Permission.DATASETS_WRITE, DATASET)


def confirm(session: Session, context: ProjectContext, permission: Permission) -> None:
    """See whether the evidence still holds: an upload may take hours, a revocation must not wait.

    The token may have expired meanwhile, which is no reason to lose the upload; the login it
    belongs to must not have ended. The project's row is locked against deletion.

    Raises:
        NotFound, Unauthenticated, PermissionDenied, ProjectArchived: as the guard would.
    """
    user_id = context.principal.user_id
    row = session.execute(
        select(
            AuthSession.ended_at,
            User.is_active,
            Role.permissions,
            Project.owner_id,
            Project.status,
            MemberRole.permissions.label("member_permissions"),
        )
        .select_from(Project)
        .join(User, User.id == user_id)
        .outerjoin(AuthSession, AuthSession.id == context.principal.session_id)
        .outerjoin(Role, Role.name == User.role)
        .outerjoin(
            ProjectPermission,
            and_(ProjectPermission.project_id == Project.id, ProjectPermission.user_id == User.id),
        )
        .outerjoin(MemberRole, MemberRole.id == ProjectPermission.role_id)
        .where(Project.id == context.project_id)
        .with_for_update(read=True, key_share=True, of=Project)
    ).one_or_none()
    if row is None:
        raise NotFound(resource="project")
    if not row.is_active or row.ended_at is not None:
        raise Unauthenticated
    now = Principal(
        user_id=user_id,
        user_uuid=context.principal.user_uuid,
        username=context.principal.username,
        role=context.principal.role,
        permissions=frozenset(row.permissions or ()),
        session_id=context.principal.session_id,
        must_change_password=False,
        actor=context.actor,
    )
    held = project_permissions(row, now)
    if held is None:
        raise NotFound(resource="project")
    evidence = ProjectContext(
        now, context.project_id, context.project_uuid, context.project_name, held
    )
    if not evidence.may(permission):
        raise PermissionDenied(permission=permission.value)
    if row.status == ProjectStatus.ARCHIVED:
        raise ProjectArchived

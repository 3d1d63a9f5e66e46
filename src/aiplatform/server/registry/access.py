"""Guards of models. A model belongs to a project, or to nobody: then it is shared by all.

Shared models may be read by whoever is signed in; only a global ``*`` may change them. Either way
one statement reads token, user, global role, model, project and membership.
"""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request
from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.access import (
    BearerToken,
    PlatformGuard,
    Principal,
    SessionDep,
    deny,
    principal_from,
    principal_statement,
)
from aiplatform.server.identity.errors import PermissionDenied, Unauthenticated
from aiplatform.server.identity.models import AuthSession, Role, User
from aiplatform.server.projects.access import (
    MemberRole,
    ProjectContext,
    ProjectGuard,
    project_permissions,
)
from aiplatform.server.projects.errors import ProjectArchived
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.registry.errors import SharedModelsProtected
from aiplatform.server.registry.models import Model


@dataclass(frozen=True, slots=True)
class ModelContext:
    """Evidence that ``principal`` may act on the model; ``project`` is None for a shared one."""

    principal: Principal
    model_id: int
    model_uuid: UUID
    project: ProjectContext | None

    @property
    def actor(self) -> Actor:
        """Who acts, for the audit."""
        return self.principal.actor

    @property
    def project_uuid(self) -> UUID | None:
        """The project that an audit row is about."""
        return None if self.project is None else self.project.project_uuid


def _facts(statement: Select[Any]) -> Select[Any]:
    """Add the columns that decide, once Model and User are joined."""
    return (
        statement.add_columns(
            Model.id.label("model_id"),
            Model.uuid.label("model_uuid"),
            Project.id.label("project_id"),
            Project.uuid.label("project_uuid"),
            Project.name.label("project_name"),
            Project.status.label("project_status"),
            Project.owner_id,
            MemberRole.permissions.label("member_permissions"),
        )
        .outerjoin(Project, Project.id == Model.project_id)
        .outerjoin(
            ProjectPermission,
            and_(ProjectPermission.project_id == Project.id, ProjectPermission.user_id == User.id),
        )
        .outerjoin(MemberRole, MemberRole.id == ProjectPermission.role_id)
    )


def _decide(row: Any, principal: Principal, permission: Permission) -> ModelContext:
    """The evidence of a row of :func:`_facts`.

    Raises:
        NotFound: for no model, or one of a project that is none of theirs.
        PermissionDenied, ProjectArchived: see there.
    """
    if row is None or row.model_id is None:
        raise NotFound(resource="model")
    writes = permission.endswith(":write")
    if row.project_id is None:
        if writes and not principal.is_superuser:
            raise SharedModelsProtected(permission=WILDCARD)
        return ModelContext(principal, row.model_id, row.model_uuid, None)
    held = project_permissions(row, principal)
    if held is None:
        raise NotFound(resource="model")
    project = ProjectContext(principal, row.project_id, row.project_uuid, row.project_name, held)
    if not project.may(permission):
        raise PermissionDenied(permission=permission.value)
    if writes and row.project_status == ProjectStatus.ARCHIVED:
        raise ProjectArchived
    return ModelContext(principal, row.model_id, row.model_uuid, project)


ModelPath = Annotated[str, Path(description="uuid", json_schema_extra={"format": "uuid"})]


class ModelGuard:
    """Lets in who holds ``permission`` on the model of the path."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(
        self, model: ModelPath, request: Request, session: SessionDep, token: BearerToken
    ) -> ModelContext:
        """The evidence.

        Raises:
            Unauthenticated, PasswordChangeRequired, NotFound, PermissionDenied, ProjectArchived.
        """
        return self.authorize(model, request, session, token)

    def authorize(
        self, model: str, request: Request, session: Session, token: str | None
    ) -> ModelContext:
        """The same for callers that hold a session of their own."""
        try:
            uuid = UUID(model)
        except ValueError:
            # Authentication comes first: an anonymous caller learns nothing from the form of an id.
            uuid = UUID(int=0)
        row: Any = None
        if token is not None:
            joined = principal_statement(token).outerjoin(Model, Model.uuid == uuid)
            row = session.execute(_facts(joined)).one_or_none()
        principal = principal_from(row, request, allow_first_password=False)
        try:
            return _decide(row, principal, self.permission)
        except PermissionDenied as denied:
            missing = denied.params["permission"]
            deny(session, principal, missing, request, project=row.project_uuid)
            raise


class ModelStreamingGuard:
    """The same for routes that stream: its session ends before the stream begins."""

    def __init__(self, permission: Permission) -> None:
        self.guard = ModelGuard(permission)
        self.permission = permission

    def __call__(self, model: ModelPath, request: Request, token: BearerToken) -> ModelContext:
        """The evidence, see :class:`ModelGuard`."""
        with transaction() as session:
            return self.guard.authorize(model, request, session, token)


def confirm(session: Session, context: ModelContext, permission: Permission) -> ModelContext:
    """See whether the evidence still holds: an upload may take hours, a revocation must not wait.

    The token may have expired meanwhile, which is no reason to lose the upload; the login it
    belongs to must not have ended.

    Raises:
        NotFound, Unauthenticated, PermissionDenied, ProjectArchived: as the guard would.
    """
    before = context.principal
    statement: Any = (
        select(AuthSession.ended_at, User.is_active, Role.permissions)
        .select_from(User)
        .outerjoin(AuthSession, AuthSession.id == before.session_id)
        .outerjoin(Role, Role.name == User.role)
        .outerjoin(Model, Model.id == context.model_id)
        .where(User.id == before.user_id)
    )
    row = session.execute(_facts(statement)).one_or_none()
    if row is None or not row.is_active or row.ended_at is not None:
        raise Unauthenticated
    now = Principal(
        user_id=before.user_id,
        user_uuid=before.user_uuid,
        username=before.username,
        role=before.role,
        permissions=frozenset(row.permissions or ()),
        session_id=before.session_id,
        must_change_password=False,
        actor=before.actor,
    )
    return _decide(row, now, permission)


def require_shared(context: ProjectContext, session: Session, request: Request) -> None:
    """Only a global ``*`` may make a model that everybody uses.

    Raises:
        SharedModelsProtected: recorded as a denied attempt.
    """
    if not context.principal.is_superuser:
        deny(session, context.principal, WILDCARD, request, project=context.project_uuid)
        raise SharedModelsProtected(permission=WILDCARD)


BROWSE = PlatformGuard()
"""Whoever is signed in; the select finds what they may read."""

LIST = ProjectGuard(Permission.MODELS_READ)
CREATE = ProjectGuard(Permission.MODELS_WRITE)
READ = ModelGuard(Permission.MODELS_READ)
WRITE = ModelGuard(Permission.MODELS_WRITE)
UPLOAD = ModelStreamingGuard(Permission.MODELS_WRITE)

"""Guards for models. A model belongs to a project or is shared by all projects.

Every signed-in user may read shared models; only users with the global permission ``*`` may change
them. A single statement reads token, user, global role, model, project and membership.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from fastapi import Request
from sqlalchemy import Integer, Select, bindparam, select
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.identity.access import (
    BearerToken,
    Guard,
    PlatformGuard,
    Principal,
    add_validity_columns,
    deny,
    principal_statement,
    refresh_principal,
    validity_parameters,
)
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import (
    ProjectContext,
    ProjectGuard,
    add_membership,
    project_permissions,
    signature_with_path_parameter,
    uuid_or_unknown,
)
from aiplatform.server.projects.errors import ProjectArchived
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.rules import DELETED
from aiplatform.server.registry.errors import SharedModelsProtected
from aiplatform.server.registry.models import Model


@dataclass(frozen=True, slots=True)
class ModelContext:
    """The principal's rights on a model, as evidence. ``project`` is None for a shared model."""

    principal: Principal
    model_id: int
    model_uuid: UUID
    project: ProjectContext | None

    @property
    def actor(self) -> Actor:
        """The principal as recorded in audit entries."""
        return self.principal.actor

    @property
    def project_uuid(self) -> UUID | None:
        """The project named in audit entries about the model."""
        return None if self.project is None else self.project.project_uuid


def _facts(statement: Select[Any]) -> Select[Any]:
    """Add the columns that determine access to a model.

    The statement must already have joined ``Model`` and ``User``.
    """
    named = statement.add_columns(Model.id.label("model_id"), Model.uuid.label("model_uuid"))
    return add_membership(named.outerjoin(Project, Project.id == Model.project_id))


@cache
def _statement() -> Compiled:
    named = bindparam("named", type_=PG_UUID(as_uuid=True))
    return compiled(_facts(principal_statement().outerjoin(Model, Model.uuid == named)))


@cache
def _confirmation() -> Compiled:
    found = Model.id == bindparam("model_id", type_=Integer)
    joined = select(User.id).select_from(User).outerjoin(Model, found)
    return compiled(_facts(add_validity_columns(joined)))


def _decide(row: Any, principal: Principal, permission: Permission) -> ModelContext:
    """Return the evidence for a principal from a row with the columns of :func:`_facts`.

    Raises:
        NotFound: there is no such model, or it is in a project that the principal may not see.
        PermissionDenied: the principal does not hold the permission.
        ProjectArchived: the permission writes, and the project is archived.
    """
    if row is None or row.model_id is None or row.project_status == DELETED:
        raise NotFound(resource="model")
    writes = permission.endswith(":write")
    if row.project_id is None:
        if writes and not principal.is_superuser:
            raise SharedModelsProtected(permission=WILDCARD)
        if not principal.in_scope(permission):
            raise PermissionDenied(permission=permission.value)
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


class ModelGuard(Guard[ModelContext]):
    """A guard that requires ``permission`` on the model in the request's path."""

    permission: Permission

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        self.__signature__ = signature_with_path_parameter(type(self).__call__, "model")

    async def __call__(self, request: Request, token: BearerToken, **_: str) -> ModelContext:
        """Return the evidence for a request.

        Raises:
            Unauthenticated: the token is missing or invalid.
            PasswordChangeRequired: the user must change the password first.
            NotFound, PermissionDenied, ProjectArchived: see :func:`_decide`.
        """
        return await self.admit(request, token)

    @property
    def statement(self) -> Compiled:
        """The statement that reads the principal, model and project."""
        return _statement()

    def parameters(self, request: Request) -> dict[str, UUID]:
        """Return the statement's parameter: the uuid of the model in the path."""
        return {"named": uuid_or_unknown(request.path_params["model"])}

    def evidence(self, principal: Principal, row: Any) -> ModelContext:
        """Return the evidence for a principal; see :func:`_decide`."""
        return _decide(row, principal, self.permission)


def confirm(session: Session, context: ModelContext, permission: Permission) -> ModelContext:
    """Check again that the evidence holds, after an upload that may have taken hours.

    A revoked permission takes effect. An access token that has expired in the meantime is accepted,
    so that the upload is not lost, but its session must not have ended.

    Raises:
        NotFound, Unauthenticated, PermissionDenied, ProjectArchived: as the guard would.
    """
    row = _confirmation().one_or_none(
        session, model_id=context.model_id, **validity_parameters(context.principal)
    )
    return _decide(row, refresh_principal(row, context.principal), permission)


def require_shared(context: ProjectContext, session: Session, request: Request) -> None:
    """Require the global permission ``*`` to create a shared model.

    Raises:
        SharedModelsProtected: the caller lacks it; the denial is recorded in the audit trail.
    """
    if not context.principal.is_superuser:
        deny(session, context.principal, WILDCARD, request, project=context.project_uuid)
        raise SharedModelsProtected(permission=WILDCARD)


BROWSE = PlatformGuard(accepts_keys=True)
"""Guard for all signed-in users. The query selects the models that they may read."""

LIST = ProjectGuard(Permission.MODELS_READ)
CREATE = ProjectGuard(Permission.MODELS_WRITE)
READ = ModelGuard(Permission.MODELS_READ)
WRITE = ModelGuard(Permission.MODELS_WRITE)

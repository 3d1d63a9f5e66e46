"""Guards: who may do what in a project. They return evidence that scoped queries require.

A project is named by the path, or found through the resource that the path names. Either way one
statement reads token, user, global role, project and membership. Who may not see the project gets
the 404 of a project that does not exist.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request
from sqlalchemy import Select, and_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.permissions import PROJECT_RESOURCES, WILDCARD, Permission, grants
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
from aiplatform.server.identity.models import Role, User
from aiplatform.server.identity.rules import PLAIN_USER
from aiplatform.server.projects.errors import ProjectArchived
from aiplatform.server.projects.models import Project, ProjectPermission

MemberRole = aliased(Role, name="member_role")


class CreateProjectGuard(PlatformGuard):
    """Lets in who may create projects: plain users, and global roles with ``projects:write``."""

    def __init__(self) -> None:
        super().__init__(Permission.PROJECTS_WRITE)

    def allows(self, principal: Principal) -> bool:
        """A plain user may: that is how one comes to a first project."""
        return principal.role == PLAIN_USER or super().allows(principal)


@dataclass(frozen=True, slots=True)
class ProjectContext:
    """Evidence that ``principal`` may act in the project, within ``permissions``."""

    principal: Principal
    project_id: int
    project_uuid: UUID
    project_name: str
    permissions: frozenset[str]

    @property
    def actor(self) -> Actor:
        """Who acts, for the audit."""
        return self.principal.actor

    def may(self, permission: Permission) -> bool:
        """Whether ``permission`` is held in this project."""
        return permission.reaches_projects and grants(self.permissions, permission)


@dataclass(frozen=True, slots=True)
class Via:
    """How a resource leads to its project: its uuid column, its project column, its path parameter.

    ``noun`` is what a 404 calls it.
    """

    uuid: InstrumentedAttribute[UUID]
    project_id: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]
    param: str
    noun: str


def project_permissions(row: Any, principal: Principal) -> frozenset[str] | None:
    """What the principal holds in the row's project; None when it is none of theirs."""
    if principal.is_superuser or row.owner_id == principal.user_id:
        return frozenset({WILDCARD})
    if row.member_permissions is None:
        return None
    return frozenset(
        held
        for held in row.member_permissions
        if held == WILDCARD or held.partition(":")[0] in PROJECT_RESOURCES
    )


def _statement(token: str, via: Via | None, uuid: UUID) -> Select[*tuple[Any, ...]]:
    statement = principal_statement(token).add_columns(
        Project.id.label("project_id"),
        Project.uuid.label("project_uuid"),
        Project.name.label("project_name"),
        Project.status.label("project_status"),
        Project.owner_id,
        MemberRole.permissions.label("member_permissions"),
    )
    if via is None:
        found = Project.uuid == uuid
    else:
        owner = select(via.project_id).where(via.uuid == uuid).scalar_subquery()
        found = Project.id == owner
    return (
        statement.outerjoin(Project, found)
        .outerjoin(
            ProjectPermission,
            and_(ProjectPermission.project_id == Project.id, ProjectPermission.user_id == User.id),
        )
        .outerjoin(MemberRole, MemberRole.id == ProjectPermission.role_id)
    )


def with_path_parameter(call: Callable[..., Any], name: str) -> inspect.Signature:
    """The signature of a guard's ``__call__`` with the path parameter that it reads.

    Guards read it from the request, since its name differs; FastAPI must still know of it, or the
    OpenAPI document would have paths whose parameters nobody declares.
    """
    signature = inspect.signature(call)
    kept = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    # A string, not a UUID: what is no uuid is answered like one that does not exist.
    annotation = Annotated[str, Path(json_schema_extra={"format": "uuid"})]
    read = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
    return signature.replace(parameters=[*kept, read])


class ProjectGuard:
    """Lets in who holds ``permission`` in the project of the path.

    ``writes`` (by default: the permission is one of writing) is refused in archived projects.
    ``everything`` asks for ``*`` as well: what takes the whole project away is for its owner, and
    for administrators of it.
    """

    def __init__(
        self,
        permission: Permission,
        via: Via | None = None,
        *,
        writes: bool | None = None,
        everything: bool = False,
    ) -> None:
        self.permission = permission
        self.via = via
        self.everything = everything
        self.writes = permission.endswith(":write") if writes is None else writes
        self.__signature__ = with_path_parameter(type(self).__call__, self.param)

    @property
    def param(self) -> str:
        """The path parameter that is read."""
        return "project" if self.via is None else self.via.param

    def __call__(
        self, request: Request, session: SessionDep, token: BearerToken, **_: str
    ) -> ProjectContext:
        """The evidence.

        Raises:
            Unauthenticated, PasswordChangeRequired, NotFound, PermissionDenied, ProjectArchived.
        """
        return self.authorize(request, session, token)

    def authorize(self, request: Request, session: Session, token: str | None) -> ProjectContext:
        """The same for callers that hold a session of their own."""
        noun = "project" if self.via is None else self.via.noun
        try:
            uuid = UUID(request.path_params[self.param])
        except ValueError:
            # Authentication comes first: an anonymous caller learns nothing from the form of an id.
            uuid = UUID(int=0)
        row: Any = (
            None
            if token is None
            else session.execute(_statement(token, self.via, uuid)).one_or_none()
        )
        principal = principal_from(row, request, allow_first_password=False)
        held = None if row.project_id is None else project_permissions(row, principal)
        if held is None:
            raise NotFound(resource=noun)
        context = ProjectContext(
            principal=principal,
            project_id=row.project_id,
            project_uuid=row.project_uuid,
            project_name=row.project_name,
            permissions=held,
        )
        missing: str | None = None
        if not context.may(self.permission):
            missing = self.permission
        elif self.everything and WILDCARD not in held:
            missing = WILDCARD
        if missing is not None:
            raise deny(session, principal, missing, request, project=row.project_uuid)
        if self.writes and row.project_status == ProjectStatus.ARCHIVED:
            raise ProjectArchived
        return context


class StreamingGuard:
    """The same for routes that stream: its session ends before the stream begins.

    An upload of an hour must not hold a transaction open that long. The route opens one of its own
    when it has something to write.
    """

    def __init__(self, permission: Permission, via: Via | None = None) -> None:
        self.guard = ProjectGuard(permission, via)
        self.permission = permission
        self.__signature__ = with_path_parameter(type(self).__call__, self.guard.param)

    def __call__(self, request: Request, token: BearerToken, **_: str) -> ProjectContext:
        """The evidence, see :class:`ProjectGuard`."""
        with transaction() as session:
            return self.guard.authorize(request, session, token)

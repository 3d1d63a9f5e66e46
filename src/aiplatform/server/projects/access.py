"""Permission guards for projects. They return evidence that project queries require.

The path names a project, or a resource that leads to its project. In both cases one statement reads
token, user, global role, project and membership. A caller who may not see the project gets the same
404 as for a project that does not exist.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request
from sqlalchemy import Integer, Select, and_, bindparam, exists, literal, select
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.permissions import PROJECT_RESOURCES, WILDCARD, Permission, grants
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NotFound, Problem
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
from aiplatform.server.identity.errors import PermissionDenied, Unauthenticated
from aiplatform.server.identity.models import Role, User
from aiplatform.server.identity.rules import PLAIN_USER
from aiplatform.server.projects.errors import ProjectArchived
from aiplatform.server.projects.models import BinEntry, Project, ProjectPermission
from aiplatform.server.projects.rules import DELETED

OWNER = "owner"
"""Permission named in errors if only the owner is allowed. No role has this name."""

MemberRole = aliased(Role, name="member_role")


class CreateProjectGuard(PlatformGuard):
    """A guard that admits plain users, and users whose global role has ``projects:write``."""

    def __init__(self) -> None:
        super().__init__(Permission.PROJECTS_WRITE)

    def allows(self, principal: Principal) -> bool:
        """Return True for plain users, too; otherwise they could never create a project."""
        if not principal.reaches(None) or not principal.in_scope(Permission.PROJECTS_WRITE):
            return False
        return principal.role == PLAIN_USER or super().allows(principal)


@dataclass(frozen=True, slots=True)
class ProjectContext:
    """The principal's permissions in a project: evidence that queries for its data require."""

    principal: Principal
    project_id: int
    project_uuid: UUID
    project_name: str
    permissions: frozenset[str]

    @property
    def actor(self) -> Actor:
        """The principal as recorded in audit entries."""
        return self.principal.actor

    def may(self, permission: Permission) -> bool:
        """Return True if the principal holds ``permission`` in this project."""
        return permission.reaches_projects and grants(self.permissions, permission)

    def require(self, permission: Permission) -> None:
        """Raise PermissionDenied unless the principal holds ``permission`` in this project."""
        if not self.may(permission):
            raise PermissionDenied(permission=permission.value)


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """The columns and the path parameter through which a resource leads to its project.

    ``uuid`` and ``project_id`` are columns of the resource's table. ``noun`` is the name of the
    resource in a 404 response.
    """

    uuid: InstrumentedAttribute[UUID]
    project_id: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]
    parameter: str
    noun: str


def project_permissions(row: Any, principal: Principal) -> frozenset[str] | None:
    """Return the principal's permissions in the row's project, or None if it can't see the project.

    With an API key, only the permissions in its scopes count, and only in its own project if it has
    one.
    """
    if not principal.reaches(row.project_id):
        return None
    if principal.reaches_all_projects or row.owner_id == principal.user_id:
        return principal.limit_to_scopes(frozenset({WILDCARD}))
    if row.member_permissions is None:
        return None
    return principal.limit_to_scopes(filter_project_permissions(row.member_permissions))


def filter_project_permissions(permissions: Iterable[str]) -> frozenset[str]:
    """Return the subset of a role's permissions that have an effect in a project."""
    return frozenset(
        held
        for held in permissions
        if held == WILDCARD or held.partition(":")[0] in PROJECT_RESOURCES
    )


def add_membership(statement: Select[Any]) -> Select[Any]:
    """Add to a statement the columns that determine access to a project.

    The statement must already have joined ``Project`` and ``User``.
    """
    return (
        statement.add_columns(
            Project.id.label("project_id"),
            Project.uuid.label("project_uuid"),
            Project.name.label("project_name"),
            Project.status.label("project_status"),
            Project.owner_id,
            MemberRole.permissions.label("member_permissions"),
        )
        .outerjoin(
            ProjectPermission,
            and_(ProjectPermission.project_id == Project.id, ProjectPermission.user_id == User.id),
        )
        .outerjoin(MemberRole, MemberRole.id == ProjectPermission.role_id)
    )


@cache
def _statement(resource: ResourcePath | None, *, binned: bool = False) -> Compiled:
    named = bindparam("named", type_=PG_UUID(as_uuid=True))
    if resource is None:
        found = Project.uuid == named
    else:
        owner = select(resource.project_id).where(resource.uuid == named).scalar_subquery()
        found = Project.id == owner
    # The project that holds deleted datasets and models has no bin entry, so no guard admits anyone
    # to it.
    in_bin = and_(
        Project.status == DELETED,
        exists().where(BinEntry.project_id == Project.id, BinEntry.kind == "project"),
    )
    found = and_(found, in_bin if binned else Project.status.is_distinct_from(DELETED))
    return compiled(add_membership(principal_statement().outerjoin(Project, found)))


@cache
def _confirmation() -> Compiled:
    found = Project.id == bindparam("project_id", type_=Integer)
    statement = add_validity_columns(select(User.id).select_from(User).join(Project, found))
    return compiled(add_membership(statement).with_for_update(read=True, of=Project))


def confirm(
    session: Session, context: ProjectContext, permission: Permission, *, writes: bool = True
) -> ProjectContext:
    """Check again that the evidence holds, after lengthy work such as an upload.

    The loss of a permission must take effect immediately. An access token that has expired in the
    meantime is accepted, so that the upload is not lost. The project's row is locked against
    archiving and deletion. With ``writes``, archived projects are refused.

    Raises:
        NotFound, Unauthenticated, PermissionDenied, ProjectArchived: as the guard would.
    """
    row = _confirmation().one_or_none(
        session, project_id=context.project_id, **validity_parameters(context.principal)
    )
    if row is None or row.project_status == DELETED:
        raise NotFound(resource="project")
    principal = refresh_principal(row, context.principal)
    held = project_permissions(row, principal)
    if held is None:
        raise NotFound(resource="project")
    now = replace(context, principal=principal, permissions=held)
    if not now.may(permission):
        raise PermissionDenied(permission=permission.value)
    if writes and row.project_status == ProjectStatus.ARCHIVED:
        raise ProjectArchived
    return now


def confirm_author(
    session: Session, user_id: int | None, project_id: int | None, permission: Permission
) -> ProjectContext:
    """Return evidence that a task's author still has the permission to store the task's result.

    The session or key that the author used may have ended; the account and its role must still
    exist.

    Raises:
        NotFound, Unauthenticated, PermissionDenied, ProjectArchived: as the guard would.
    """
    user = None if user_id is None else session.get(User, user_id)
    project = None if project_id is None else session.get(Project, project_id)
    if user is None or project is None:
        raise NotFound(resource="project")
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
    context = ProjectContext(principal, project.id, project.uuid, project.name, frozenset())
    return confirm(session, context, permission)


def signature_with_path_parameter(call: Callable[..., Any], name: str) -> inspect.Signature:
    """Return the signature of a guard's ``__call__`` with the path parameter that it reads.

    Guards read the parameter from the request, because its name differs from route to route.
    FastAPI nevertheless needs the parameter in the signature; otherwise the OpenAPI document would
    contain undeclared path parameters.
    """
    signature = inspect.signature(call)
    kept = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    # The type is str, not UUID, because an invalid uuid is treated like one that does not exist.
    annotation = Annotated[str, Path(json_schema_extra={"format": "uuid"})]
    read = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
    return signature.replace(parameters=[*kept, read])


def uuid_or_unknown(text: str) -> UUID:
    """Return the uuid, or for invalid text a uuid that no resource has.

    Invalid text is not rejected here, because authentication comes first: an anonymous caller must
    not learn anything from the format of an id.
    """
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


class ProjectGuard(Guard[ProjectContext]):
    """A guard for callers who hold ``permission`` in the path's project.

    Args:
        permission: the required permission; None admits all members.
        resource: the resource that leads to the project, if the path does not name the project
            itself.
        writes: True to refuse archived projects; by default True for permissions that end in
            ``:write``.
        all_permissions: True to also require ``*``: only the owner and administrators of the
            project may archive or delete it.
        binned: True for routes of projects in the bin. Other guards treat these as nonexistent.
        owner: True to require the owner, or a principal with a global ``*``; a member with ``*`` is
            not enough.
        accepts_keys: False to refuse API keys.
    """

    def __init__(
        self,
        permission: Permission | None,
        resource: ResourcePath | None = None,
        *,
        writes: bool | None = None,
        all_permissions: bool = False,
        binned: bool = False,
        owner: bool = False,
        accepts_keys: bool = True,
    ) -> None:
        self.permission = permission
        self.owner = owner
        self.accepts_keys = accepts_keys
        self.resource = resource
        self.all_permissions = all_permissions
        self.binned = binned
        self.writes = (permission or "").endswith(":write") if writes is None else writes
        self.__signature__ = signature_with_path_parameter(type(self).__call__, self.parameter)

    @property
    def parameter(self) -> str:
        """The name of the path parameter that is read."""
        if self.binned:
            return "binned"
        return "project" if self.resource is None else self.resource.parameter

    @property
    def statement(self) -> Compiled:
        """The statement that checks access; its parameters are ``token_hash`` and ``named``."""
        return _statement(self.resource, binned=self.binned)

    async def __call__(self, request: Request, token: BearerToken, **_: str) -> ProjectContext:
        """Return the evidence for a request.

        Raises:
            Unauthenticated, PasswordChangeRequired, NotFound, PermissionDenied, ProjectArchived: if
                the request is refused.
        """
        return await self.admit(request, token)

    def parameters(self, request: Request) -> dict[str, UUID]:
        """Return the statement's parameter for the resource named in the path."""
        return {"named": uuid_or_unknown(request.path_params[self.parameter])}

    def evidence(self, principal: Principal, row: Any) -> ProjectContext:
        """Return the evidence for a principal from the row returned by the statement.

        Raises:
            NotFound: when the principal can't see the project.
            PermissionDenied: when a permission is missing.
            ProjectArchived: when the guard is for writing and the project is archived.
        """
        held = None if row.project_id is None else project_permissions(row, principal)
        if held is None:
            raise NotFound(resource="project" if self.resource is None else self.resource.noun)
        context = ProjectContext(
            principal=principal,
            project_id=row.project_id,
            project_uuid=row.project_uuid,
            project_name=row.project_name,
            permissions=held,
        )
        if self.permission is not None and not context.may(self.permission):
            raise PermissionDenied(permission=self.permission.value)
        if self.all_permissions and WILDCARD not in held:
            raise PermissionDenied(permission=WILDCARD)
        if self.owner and not (principal.is_superuser or row.owner_id == principal.user_id):
            raise PermissionDenied(permission=OWNER)
        if self.writes and row.project_status == ProjectStatus.ARCHIVED:
            raise ProjectArchived
        return context


def require_additional(
    session: Session, context: ProjectContext, permission: Permission, request: Request
) -> None:
    """Require a permission in addition to the route's guard, and audit a refusal.

    The transaction must not have written anything yet.

    Raises:
        PermissionDenied: when the caller lacks the permission.
    """
    if not context.may(permission):
        raise deny(session, context.principal, permission, request, project=context.project_uuid)


def find_revocations(
    session: Session, contexts: Sequence[ProjectContext], permission: Permission, *, hidden: Problem
) -> list[Problem | None]:
    """Return the error, if any, that would reject each context now, using one statement.

    All contexts must belong to one project. The error is None where the user still holds
    ``permission``, and ``hidden`` for users who can sign in but no longer hold it.
    Sessions and keys are not checked here, see ``identity.service.CredentialWatcher``.
    """
    if not contexts:
        return []
    yes = literal(True)
    users: Any = (
        select(
            User.id.label("user_id"),
            User.is_active,
            Role.permissions,
            yes.label("session_is_valid"),
            yes.label("key_is_valid"),
        )
        .select_from(User)
        .outerjoin(Role, Role.name == User.role)
        .outerjoin(Project, Project.id == contexts[0].project_id)
        .where(User.id.in_({context.principal.user_id for context in contexts}))
    )
    rows = {row.user_id: row for row in session.execute(add_membership(users))}
    refusals: list[Problem | None] = []
    for context in contexts:
        try:
            holds = _holds(rows.get(context.principal.user_id), context, permission)
        except Unauthenticated as problem:
            refusals.append(problem)
        else:
            refusals.append(None if holds else hidden)
    return refusals


def _holds(row: Any, context: ProjectContext, permission: Permission) -> bool:
    principal = refresh_principal(row, context.principal)
    if row.project_id is None or row.project_status == DELETED:
        return False
    held = project_permissions(row, principal)
    if held is None:
        return False
    return replace(context, principal=principal, permissions=held).may(permission)

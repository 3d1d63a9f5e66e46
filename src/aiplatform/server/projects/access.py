"""Guards: who may do what in a project. They return evidence that scoped queries require.

A project is named by the path, or found through the resource that the path names. Either way one
statement reads token, user, global role, project and membership. Who may not see the project gets
the 404 of a project that does not exist.
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
    add_standing,
    deny,
    principal_statement,
    standing_values,
    still,
)
from aiplatform.server.identity.errors import PermissionDenied, Unauthenticated
from aiplatform.server.identity.models import Role, User
from aiplatform.server.identity.rules import PLAIN_USER
from aiplatform.server.projects.errors import ProjectArchived
from aiplatform.server.projects.models import BinEntry, Project, ProjectPermission
from aiplatform.server.projects.rules import DELETED

OWNER = "owner"
"""What a refusal names that asks for the owner; no role has this name."""

MemberRole = aliased(Role, name="member_role")


class CreateProjectGuard(PlatformGuard):
    """Lets in who may create projects: plain users, and global roles with ``projects:write``."""

    def __init__(self) -> None:
        super().__init__(Permission.PROJECTS_WRITE)

    def allows(self, principal: Principal) -> bool:
        """A plain user may: that is how one comes to a first project."""
        if not principal.reaches(None) or not principal.in_scope(Permission.PROJECTS_WRITE):
            return False
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

    def require(self, permission: Permission) -> None:
        """Raise PermissionDenied unless ``permission`` is held in this project."""
        if not self.may(permission):
            raise PermissionDenied(permission=permission.value)


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
    """What the principal holds in the row's project; None when it is none of theirs.

    An API key has of that what its scopes name, and nothing in other projects than its own.
    """
    if not principal.reaches(row.project_id):
        return None
    if principal.crosses or row.owner_id == principal.user_id:
        return principal.within(frozenset({WILDCARD}))
    if row.member_permissions is None:
        return None
    return principal.within(reaching(row.member_permissions))


def reaching(permissions: Iterable[str]) -> frozenset[str]:
    """What a role's permissions come to in a project."""
    return frozenset(
        held
        for held in permissions
        if held == WILDCARD or held.partition(":")[0] in PROJECT_RESOURCES
    )


def add_membership(statement: Select[Any]) -> Select[Any]:
    """Adds what decides about a project, once ``Project`` and ``User`` are joined."""
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
def _statement(via: Via | None, *, binned: bool = False) -> Compiled:
    named = bindparam("named", type_=PG_UUID(as_uuid=True))
    if via is None:
        found = Project.uuid == named
    else:
        owner = select(via.project_id).where(via.uuid == named).scalar_subquery()
        found = Project.id == owner
    # The bin's own project has no entry, so that nobody gets into that.
    in_bin = and_(
        Project.status == DELETED,
        exists().where(BinEntry.project_id == Project.id, BinEntry.kind == "project"),
    )
    found = and_(found, in_bin if binned else Project.status.is_distinct_from(DELETED))
    return compiled(add_membership(principal_statement().outerjoin(Project, found)))


@cache
def _confirmation() -> Compiled:
    found = Project.id == bindparam("project_id", type_=Integer)
    statement = add_standing(select(User.id).select_from(User).join(Project, found))
    return compiled(add_membership(statement).with_for_update(read=True, of=Project))


def confirm(
    session: Session, context: ProjectContext, permission: Permission, *, writes: bool = True
) -> ProjectContext:
    """See whether evidence still holds: an upload may take hours, a revocation must not wait.

    The access token may have expired meanwhile, which is no reason to lose the upload. The
    project's row is locked against archiving and deletion. ``writes`` is refused in archived ones.

    Raises:
        NotFound, Unauthenticated, PermissionDenied, ProjectArchived: as the guard would.
    """
    row = _confirmation().one_or_none(
        session, project_id=context.project_id, **standing_values(context.principal)
    )
    if row is None or row.project_status == DELETED:
        raise NotFound(resource="project")
    principal = still(row, context.principal)
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
    """Evidence of somebody who asked for work that ends now, as they stand now.

    The login or key that they asked with may be gone by then; they and their role may not.

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


def uuid_or_none_such(text: str) -> UUID:
    """The uuid, or one that nothing has.

    Authentication comes first: an anonymous caller learns nothing from the form of an id.
    """
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


class ProjectGuard(Guard[ProjectContext]):
    """Lets in who holds ``permission`` in the project of the path; None: whoever is in it.

    ``writes`` (by default: the permission is one of writing) is refused in archived projects.
    ``everything`` asks for ``*`` as well: what takes the whole project away is for its owner, and
    for administrators of it. ``owner`` asks to be the owner, or to hold ``*`` globally: a member's
    ``*`` is no title to the project. A project in the bin is no project, but for a guard that is
    made for them: it is ``binned``.
    """

    def __init__(
        self,
        permission: Permission | None,
        via: Via | None = None,
        *,
        writes: bool | None = None,
        everything: bool = False,
        binned: bool = False,
        owner: bool = False,
        accepts_keys: bool = True,
    ) -> None:
        self.permission = permission
        self.owner = owner
        self.accepts_keys = accepts_keys
        self.via = via
        self.everything = everything
        self.binned = binned
        self.writes = (permission or "").endswith(":write") if writes is None else writes
        self.__signature__ = with_path_parameter(type(self).__call__, self.param)

    @property
    def param(self) -> str:
        """The path parameter that is read."""
        if self.binned:
            return "binned"
        return "project" if self.via is None else self.via.param

    @property
    def statement(self) -> Compiled:
        """What is asked of the database; its parameters are ``token_hash`` and ``named``."""
        return _statement(self.via, binned=self.binned)

    async def __call__(self, request: Request, token: BearerToken, **_: str) -> ProjectContext:
        """The evidence.

        Raises:
            Unauthenticated, PasswordChangeRequired, NotFound, PermissionDenied, ProjectArchived.
        """
        return await self.admit(request, token)

    def named(self, request: Request) -> dict[str, UUID]:
        """What the path names."""
        return {"named": uuid_or_none_such(request.path_params[self.param])}

    def evidence(self, principal: Principal, row: Any) -> ProjectContext:
        """What the principal holds in the project.

        Raises:
            NotFound: when it is none of theirs.
            PermissionDenied, ProjectArchived: see there.
        """
        held = None if row.project_id is None else project_permissions(row, principal)
        if held is None:
            raise NotFound(resource="project" if self.via is None else self.via.noun)
        context = ProjectContext(
            principal=principal,
            project_id=row.project_id,
            project_uuid=row.project_uuid,
            project_name=row.project_name,
            permissions=held,
        )
        if self.permission is not None and not context.may(self.permission):
            raise PermissionDenied(permission=self.permission.value)
        if self.everything and WILDCARD not in held:
            raise PermissionDenied(permission=WILDCARD)
        if self.owner and not (principal.is_superuser or row.owner_id == principal.user_id):
            raise PermissionDenied(permission=OWNER)
        if self.writes and row.project_status == ProjectStatus.ARCHIVED:
            raise ProjectArchived
        return context


def require_also(
    session: Session, context: ProjectContext, permission: Permission, request: Request
) -> None:
    """Refuse what a request asks for beyond what its route needs; the audit keeps the attempt.
    Nothing may have been written yet.

    Raises:
        PermissionDenied: without the permission.
    """
    if not context.may(permission):
        raise deny(session, context.principal, permission, request, project=context.project_uuid)


def who_may_no_more(
    session: Session, contexts: Sequence[ProjectContext], permission: Permission, *, hidden: Problem
) -> list[Problem | None]:
    """What each of the contexts, all of one project, would be refused with now: one statement.

    None where ``permission`` still holds, ``hidden`` for who is let in but may not see the project.
    Whether their sessions and keys live is not asked here, see ``identity.service.Standing``.
    """
    if not contexts:
        return []
    yes = literal(True)
    users: Any = (
        select(
            User.id.label("user_id"),
            User.is_active,
            Role.permissions,
            yes.label("session_lives"),
            yes.label("key_lives"),
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
    principal = still(row, context.principal)
    if row.project_id is None or row.project_status == DELETED:
        return False
    held = project_permissions(row, principal)
    if held is None:
        return False
    return replace(context, principal=principal, permissions=held).may(permission)

"""Selects of the façade. Each reads who asks and what they may ask in one statement."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID, array
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.orm import aliased

from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.identity.access import hash_token, principal_statement
from aiplatform.server.identity.models import AuthSession, Role, User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.registry.models import ModelDetails

_MemberRole = aliased(Role, name="chat_member_role")
_HomeProject = aliased(Project, name="chat_project")

_ANY_TOKEN = ""
"""Stands for the token of each request in statements that are built once."""

HELD = (WILDCARD, f"inference:{WILDCARD}", Permission.INFERENCE_READ.value)
"""What a role in the project must hold one of, see ``protocol.permissions.grants``."""


def may_ask() -> ColumnElement[bool]:
    """Whether the statement's ``User`` with its ``Role`` may ask the statement's ``Deployment``.

    The same rule as ``projects.access``: a global ``*``, the owner, or a role in the project.
    """
    member_holds = type_coerce(_MemberRole.permissions, JSONB).has_any(array(HELD))
    in_project = (
        select(1)
        .select_from(_HomeProject)
        .outerjoin(
            ProjectPermission,
            and_(
                ProjectPermission.project_id == _HomeProject.id,
                ProjectPermission.user_id == User.id,
            ),
        )
        .outerjoin(_MemberRole, _MemberRole.id == ProjectPermission.role_id)
        .where(
            _HomeProject.id == Deployment.project_id,
            or_(_HomeProject.owner_id == User.id, member_holds),
        )
        .correlate(User, Deployment)
        .exists()
    )
    return or_(type_coerce(Role.permissions, JSONB).has_key(WILDCARD), in_project)


def _reachable(which: ColumnElement[bool]) -> Select[Any]:
    return (
        principal_statement(_ANY_TOKEN)
        .add_columns(
            Deployment.id.label("deployment_id"),
            Deployment.uuid.label("deployment_uuid"),
            Deployment.name.label("deployment_name"),
            Deployment.status.label("deployment_status"),
            Deployment.endpoint,
            Deployment.endpoint_token,
            Deployment.created_at.label("deployed_at"),
            ModelDetails.base_model_id,
            Project.uuid.label("project_uuid"),
            Project.name.label("project_name"),
        )
        .outerjoin(Deployment, and_(which, may_ask()))
        .outerjoin(Project, Project.id == Deployment.project_id)
        .outerjoin(ModelDetails, ModelDetails.model_id == Deployment.model_id)
        .order_by(Deployment.id)
    )


@dataclass(frozen=True)
class Compiled:
    """A statement as text for psycopg, for every request the same but for its parameters.

    Building one of these statements, and having SQLAlchemy see that it compiled it before, takes
    ten times as long as all else about it, and every token of every answer waits meanwhile.
    """

    text: str
    fixed: dict[str, Any]
    token: str
    """The name of the parameter that is the token's hash."""

    def values(self, token: str, **parameters: Any) -> dict[str, Any]:
        """The parameters of one request."""
        return {**self.fixed, **parameters, self.token: hash_token(token)}


def _compiled(statement: Select[Any]) -> Compiled:
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
    compiled = statement.compile(dialect=dialect)
    fixed = dict(compiled.params)
    (token,) = (name for name, value in fixed.items() if value == hash_token(_ANY_TOKEN))
    return Compiled(compiled.string, fixed, token)


@cache
def named() -> Compiled:
    """The caller, and each deployment they may ask that has the ``name`` or the ``uuid``."""
    name, uuid = bindparam("name", type_=Text), bindparam("uuid", type_=UUID(as_uuid=True))
    return _compiled(_reachable(or_(Deployment.name == name, Deployment.uuid == uuid)))


@cache
def ready() -> Compiled:
    """The caller, and each deployment they may ask that answers now."""
    return _compiled(_reachable(Deployment.status == DeploymentStatus.READY.value))


def standing(
    pairs: Collection[tuple[int, int]],
) -> Select[int, int, str, str | None, bool]:
    """For pairs of a session and a deployment: may it still ask, and who answers there now.

    A session that has gone, or whose deployment has, gives no row. That an access token expires
    meanwhile ends no answer: the session goes on and its next token is as good.
    """
    return (
        select(
            AuthSession.id.label("session_id"),
            Deployment.id.label("deployment_id"),
            Deployment.status,
            Deployment.endpoint_token,
            and_(AuthSession.ended_at.is_(None), User.is_active, may_ask()).label("allowed"),
        )
        .select_from(AuthSession)
        .join(User, User.id == AuthSession.user_id)
        .outerjoin(Role, Role.name == User.role)
        .join(Deployment, true())
        .where(
            tuple_(AuthSession.id, Deployment.id).in_(list(pairs)),
            # Said twice so that both tables are read by their keys.
            AuthSession.id.in_({session for session, _ in pairs}),
            Deployment.id.in_({deployment for _, deployment in pairs}),
        )
    )

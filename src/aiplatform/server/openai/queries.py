"""Selects of the façade. Each reads who asks and what they may ask in one statement."""

from collections.abc import Collection
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID, array
from sqlalchemy.orm import aliased

from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.identity.access import key_lives, principal_statement
from aiplatform.server.identity.models import ApiKey, AuthSession, Role, User
from aiplatform.server.inference.models import Deployment, DeploymentRetirement
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.projects.rules import DELETED
from aiplatform.server.registry.models import ModelDetails

_MemberRole = aliased(Role, name="chat_member_role")
_HomeProject = aliased(Project, name="chat_project")


class Credential(NamedTuple):
    """A session or an API key; the other is 0."""

    session_id: int
    key_id: int


HELD = (WILDCARD, f"inference:{WILDCARD}", Permission.INFERENCE_READ.value)
"""What a role in the project must hold one of, see ``protocol.permissions.grants``."""


def may_ask() -> ColumnElement[bool]:
    """Whether the statement's ``User`` with its ``Role`` may ask the statement's ``Deployment``.

    The same rule as ``projects.access``: a global ``*``, the owner, or a role in the project; an
    API key (the statement's ``ApiKey``) must name the permission too, and reach the project.
    """
    held = array(HELD)
    member_holds = type_coerce(_MemberRole.permissions, JSONB).has_any(held)
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
            _HomeProject.status.is_distinct_from(DELETED),
            or_(
                type_coerce(Role.permissions, JSONB).has_key(WILDCARD),
                _HomeProject.owner_id == User.id,
                member_holds,
            ),
        )
        .correlate(User, Role, Deployment)
        .exists()
    )
    in_scope = or_(ApiKey.id.is_(None), type_coerce(ApiKey.scopes, JSONB).has_any(held))
    reached = or_(ApiKey.project_id.is_(None), ApiKey.project_id == Deployment.project_id)
    return and_(in_project, in_scope, reached)


def _reachable(which: ColumnElement[bool]) -> Select[Any]:
    return (
        principal_statement()
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
            # Without a project of its own a key's is null, and so is this.
            func.coalesce(
                or_(Project.owner_id == User.id, ApiKey.project_id == Project.id), False
            ).label("at_home"),
        )
        .outerjoin(Deployment, and_(which, may_ask()))
        .outerjoin(Project, Project.id == Deployment.project_id)
        .outerjoin(ModelDetails, ModelDetails.model_id == Deployment.model_id)
        .order_by(Deployment.id)
    )


@cache
def named() -> Compiled:
    """The caller, and each deployment they may ask that has the ``name`` or the ``uuid``."""
    name, uuid = bindparam("name", type_=Text), bindparam("uuid", type_=UUID(as_uuid=True))
    return compiled(_reachable(or_(Deployment.name == name, Deployment.uuid == uuid)))


@cache
def ready() -> Compiled:
    """The caller, and each deployment they may ask that answers now."""
    return compiled(_reachable(Deployment.status == DeploymentStatus.READY.value))


@cache
def serving() -> Compiled:
    """Where the deployment of an id answers now."""
    return compiled(
        select(Deployment.endpoint, Deployment.endpoint_token).where(
            Deployment.id == bindparam("id", type_=Integer),
            Deployment.status == DeploymentStatus.READY.value,
            Deployment.endpoint.is_not(None),
        )
    )


def standing(
    pairs: Collection[tuple[Credential, int]],
) -> list[Select[Any]]:
    """For pairs of a credential and a deployment: may it still ask, and who answers there now.

    ``retired_tokens`` are those of servers that were replaced and complete their answers.

    One select for sessions and one for API keys. A credential that has gone, or whose deployment
    has, gives no row. That an access token expires meanwhile ends no answer: the session goes on
    and its next token is as good.
    """
    sessions = {(shown.session_id, where) for shown, where in pairs if shown.key_id == 0}
    keys = {(shown.key_id, where) for shown, where in pairs if shown.key_id}
    retired_tokens = (
        select(func.array_agg(DeploymentRetirement.endpoint_token))
        .where(DeploymentRetirement.deployment_id == Deployment.id)
        .correlate(Deployment)
        .scalar_subquery()
        .label("retired_tokens")
    )
    facts = (
        Deployment.id.label("deployment_id"),
        Deployment.status,
        Deployment.endpoint_token,
        retired_tokens,
    )
    of_session = (
        select(
            AuthSession.id.label("session_id"),
            literal(0).label("key_id"),
            *facts,
            and_(AuthSession.ended_at.is_(None), User.is_active, may_ask()).label("allowed"),
        )
        .select_from(AuthSession)
        .join(User, User.id == AuthSession.user_id)
        .outerjoin(ApiKey, false())
    )
    of_key = (
        select(
            literal(0).label("session_id"),
            ApiKey.id.label("key_id"),
            *facts,
            and_(key_lives(), User.is_active, may_ask()).label("allowed"),
        )
        .select_from(ApiKey)
        .join(User, User.id == ApiKey.user_id)
    )
    return [
        statement.outerjoin(Role, Role.name == User.role)
        .join(Deployment, true())
        .where(
            tuple_(credential, Deployment.id).in_(list(some)),
            # Said twice so that both tables are read by their keys.
            credential.in_({shown for shown, _ in some}),
            Deployment.id.in_({where for _, where in some}),
        )
        for statement, credential, some in (
            (of_session, AuthSession.id, sessions),
            (of_key, ApiKey.id, keys),
        )
        if some
    ]

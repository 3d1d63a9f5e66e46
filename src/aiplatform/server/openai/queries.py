"""SELECT statements for the OpenAI-compatible API.

Each statement reads the caller together with the deployments that they may use.
"""

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
from aiplatform.server.identity.access import key_is_valid, principal_statement
from aiplatform.server.identity.models import ApiKey, AuthSession, Role, User
from aiplatform.server.inference.models import Deployment, DeploymentRetirement
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.projects.rules import DELETED
from aiplatform.server.registry.models import Model, ModelAlias, ModelDetails

_MemberRole = aliased(Role, name="chat_member_role")
_DeploymentProject = aliased(Project, name="chat_project")


class Credential(NamedTuple):
    """A caller's session or API key: one of the two ids is set, and the other is 0."""

    session_id: int
    key_id: int


CHAT_PERMISSIONS = (WILDCARD, f"inference:{WILDCARD}", Permission.INFERENCE_READ.value)
"""Permissions, each of which allows chat requests.

The list must match ``protocol.permissions.grants``.
"""


def may_use_deployment() -> ColumnElement[bool]:
    """Return the condition that the statement's ``User`` may use its ``Deployment``.

    This is the rule of ``projects.access``: the user needs a global ``*``, must own the project, or
    have a role in it with one of :data:`CHAT_PERMISSIONS`. An API key (the statement's ``ApiKey``)
    must also contain one of them, and apply to the project.
    """
    held = array(CHAT_PERMISSIONS)
    member_holds = type_coerce(_MemberRole.permissions, JSONB).has_any(held)
    in_project = (
        select(1)
        .select_from(_DeploymentProject)
        .outerjoin(
            ProjectPermission,
            and_(
                ProjectPermission.project_id == _DeploymentProject.id,
                ProjectPermission.user_id == User.id,
            ),
        )
        .outerjoin(_MemberRole, _MemberRole.id == ProjectPermission.role_id)
        .where(
            _DeploymentProject.id == Deployment.project_id,
            _DeploymentProject.status.is_distinct_from(DELETED),
            or_(
                type_coerce(Role.permissions, JSONB).has_key(WILDCARD),
                _DeploymentProject.owner_id == User.id,
                member_holds,
            ),
        )
        .correlate(User, Role, Deployment)
        .exists()
    )
    in_scope = or_(ApiKey.id.is_(None), type_coerce(ApiKey.scopes, JSONB).has_any(held))
    reached = or_(ApiKey.project_id.is_(None), ApiKey.project_id == Deployment.project_id)
    return and_(in_project, in_scope, reached)


def _usable_deployments(which: ColumnElement[bool]) -> Select[Any]:
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
            # The condition is NULL if the caller is not the owner and has no API key for one
            # project.
            func.coalesce(
                or_(Project.owner_id == User.id, ApiKey.project_id == Project.id), False
            ).label("is_own"),
        )
        .outerjoin(Deployment, and_(which, may_use_deployment()))
        .outerjoin(Project, Project.id == Deployment.project_id)
        .outerjoin(ModelDetails, ModelDetails.model_id == Deployment.model_id)
        .order_by(Deployment.id)
    )


@cache
def deployments_by_name() -> Compiled:
    """Return the query for the caller and each usable deployment with the given name or uuid.

    Its parameters are ``token_hash``, ``name`` and ``uuid``.
    """
    name, uuid = bindparam("name", type_=Text), bindparam("uuid", type_=UUID(as_uuid=True))
    return compiled(_usable_deployments(or_(Deployment.name == name, Deployment.uuid == uuid)))


@cache
def deployments_by_version() -> Compiled:
    """Return the query for the caller and each usable deployment of a model version.

    Deployments that follow the alias are included. While such a deployment is being updated, it
    still serves the previous version, and comes after deployments that serve the new one. The
    parameters are ``token_hash``, ``name`` of the model, and ``label``: a version or an alias.
    """
    name, label = bindparam("name", type_=Text), bindparam("label", type_=Text)
    pointing = (
        select(1)
        .where(ModelAlias.model_id == Model.id, ModelAlias.name == label)
        .correlate(Model)
        .exists()
    )
    served = (
        select(1)
        .where(
            Model.id == Deployment.model_id,
            Model.name == name,
            # A model in the bin belongs to another project.
            or_(Model.project_id.is_(None), Model.project_id == Deployment.project_id),
            or_(Model.version == label, pointing),
        )
        .correlate(Deployment)
        .exists()
    )
    follows = Deployment.follows == name + literal("@") + label
    found = _usable_deployments(or_(served, follows))
    return compiled(found.order_by(None).order_by(served.desc(), Deployment.id))


@cache
def ready_deployments() -> Compiled:
    """Return the query for the caller and each usable deployment that is ready.

    Its parameter is ``token_hash``.
    """
    return compiled(_usable_deployments(Deployment.status == DeploymentStatus.READY.value))


@cache
def serving_endpoint() -> Compiled:
    """Return the query for the endpoint and token of a deployment, if it is ready.

    Its parameter is ``id``.
    """
    return compiled(
        select(Deployment.endpoint, Deployment.endpoint_token).where(
            Deployment.id == bindparam("id", type_=Integer),
            Deployment.status == DeploymentStatus.READY.value,
            Deployment.endpoint.is_not(None),
        )
    )


def access_checks(
    pairs: Collection[tuple[Credential, int]],
) -> list[Select[Any]]:
    """Return statements that check whether answers in progress may continue.

    There is one statement for sessions and one for API keys. Each row says whether the credential
    may still use the deployment (``allowed``), and contains the current token of the deployment's
    server. ``retired_tokens`` are the tokens of replaced servers that are finishing their
    responses. If the credential or the deployment no longer exists, there is no row. An access
    token that expires in the meantime does not end an answer, because its session continues.

    Args:
        pairs: credentials, each with the id of the deployment that it uses.
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
            and_(AuthSession.ended_at.is_(None), User.is_active, may_use_deployment()).label(
                "allowed"
            ),
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
            and_(key_is_valid(), User.is_active, may_use_deployment()).label("allowed"),
        )
        .select_from(ApiKey)
        .join(User, User.id == ApiKey.user_id)
    )
    return [
        statement.outerjoin(Role, Role.name == User.role)
        .join(Deployment, true())
        .where(
            tuple_(credential, Deployment.id).in_(list(some)),
            # These conditions repeat the one above for each column, so that PostgreSQL reads both
            # tables by their keys.
            credential.in_({shown for shown, _ in some}),
            Deployment.id.in_({where for _, where in some}),
        )
        for statement, credential, some in (
            (of_session, AuthSession.id, sessions),
            (of_key, ApiKey.id, keys),
        )
        if some
    ]

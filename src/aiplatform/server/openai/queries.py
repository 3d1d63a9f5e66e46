"""Selects of the façade. Each reads who asks and what they may ask in one statement."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select, true, tuple_, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, array
from sqlalchemy.orm import aliased

from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.identity.access import principal_statement
from aiplatform.server.identity.models import AuthSession, Role, User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.openai.rules import ModelName
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.registry.models import ModelDetails

_MemberRole = aliased(Role, name="chat_member_role")
_HomeProject = aliased(Project, name="chat_project")

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


def _reachable(token: str, which: ColumnElement[bool]) -> Select[Any]:
    return (
        principal_statement(token)
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


def named(token: str, model: ModelName) -> Select[Any]:
    """The caller, and each deployment they may ask that goes by the name."""
    uuid = model.uuid
    by_name = Deployment.name == model.deployment
    return _reachable(token, by_name if uuid is None else or_(by_name, Deployment.uuid == uuid))


def ready(token: str) -> Select[Any]:
    """The caller, and each deployment they may ask that answers now."""
    return _reachable(token, Deployment.status == DeploymentStatus.READY.value)


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

"""Explanation of a user's permissions in a project: each permission with its sources."""

from typing import NamedTuple

from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import WILDCARD, Permission, covers, grants
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.access import key_is_valid
from aiplatform.server.identity.models import User
from aiplatform.server.identity.queries import find_user, global_permissions
from aiplatform.server.identity.rules import PLAIN_USER
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext, filter_project_permissions
from aiplatform.server.projects.queries import KeyRow


class Reason(NamedTuple):
    """A source of permissions. ``role`` is the role's name, or ``owner`` for the owner."""

    source: str
    role: str
    grants: frozenset[str]


class Explanation(NamedTuple):
    """A user's permissions in a project, with their sources and the user's API keys.

    ``keys`` is None if the caller may not see them.
    """

    user: User
    held: dict[Permission, list[Reason]]
    reasons: list[Reason]
    keys: list[tuple[KeyRow, list[Permission]]] | None


def explain(session: Session, context: ProjectContext, user_name: str) -> Explanation:
    """Return each permission that the user holds in the project, with all its sources.

    A deactivated user holds no permissions, but the sources are listed.

    Raises:
        NotFound: when there is no such user, or the user has no permissions here and the caller may
            not see the account: the response must not reveal which accounts exist.
    """
    user = find_user(session, user_name)
    project, _ = queries.get_project(session, context)
    reasons: list[Reason] = []
    if project.owner_id == user.id:
        reasons.append(Reason("owner", "owner", frozenset({WILDCARD})))
    if WILDCARD in global_permissions(session, user.role):
        reasons.append(Reason("global_role", user.role or PLAIN_USER, frozenset({WILDCARD})))
    found = queries.get_grant(session, context, user.id, lock=False)
    if found is not None:
        _, role = found
        reasons.append(
            Reason("membership", role.name, filter_project_permissions(role.permissions))
        )
    caller = context.principal
    if not reasons and user.id != caller.user_id and not caller.may(Permission.USERS_READ):
        raise NotFound(resource="user", resource_zh="用户")
    held: dict[Permission, list[Reason]] = {}
    if user.is_active:
        for permission in Permission:
            if permission.reaches_projects:
                because = [reason for reason in reasons if grants(reason.grants, permission)]
                if because:
                    held[permission] = because
    mine = user.id == context.principal.user_id or context.principal.is_superuser
    return Explanation(user, held, reasons, _keys(session, context, user, held) if mine else None)


def _keys(
    session: Session, context: ProjectContext, user: User, held: dict[Permission, list[Reason]]
) -> list[tuple[KeyRow, list[Permission]]]:
    """Return the user's valid keys that can be used in the project, and their permissions there."""
    rows = [KeyRow(*row) for row in session.execute(queries.list_keys(user).where(key_is_valid()))]
    return [
        (row, [permission for permission in held if covers(row.key.scopes, permission)])
        for row in rows
        if row.key.project_id in {None, context.project_id}
    ]

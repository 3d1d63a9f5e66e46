"""API keys: create, list and revoke them.

They belong to this domain and not to ``identity``, because the permissions that a user can give to
a key come from projects as well as from the global role.
"""

import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.permissions import PROJECT_RESOURCES, WILDCARD, Permission
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.identity.access import Principal, hash_token
from aiplatform.server.identity.errors import PermissionDenied, Unauthenticated
from aiplatform.server.identity.models import ApiKey, User
from aiplatform.server.identity.rules import PLAIN_USER, missing_permissions
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import filter_project_permissions
from aiplatform.server.projects.errors import ScopeOutsideProject, TooManyKeys
from aiplatform.server.projects.queries import KeyRow

PREFIX = "aip_key_"
"""Prefix of all keys, by which secret scanners recognise a leaked key."""

SHOWN_CHARACTERS = len(PREFIX) + 4
"""Number of a key's characters shown in lists. Four random ones suffice to tell keys apart."""

MAX_KEYS = 200
"""Maximum number of keys per account that are not revoked."""


def create_key(
    session: Session,
    principal: Principal,
    *,
    name: str,
    scopes: list[str],
    project: UUID | None = None,
    expires_in_days: int | None = None,
) -> tuple[KeyRow, str]:
    """Create a key for the caller. Return it with its secret value, which is shown only once.

    Raises:
        PermissionDenied: for a scope that the caller holds neither in ``project`` nor, if no
            project is given, in any project or globally.
        NotFound: for a project that the caller may not see.
        ScopeOutsideProject: for a scope without effect in a project, if ``project`` is given.
        TooManyKeys: when the caller already has :data:`MAX_KEYS` keys.
        NameTaken: when the caller has a valid key with that name.
    """
    # The lock keeps an account from creating two keys at the same time, and from creating one while
    # it is being deactivated, which revokes its keys.
    owner = session.get_one(User, principal.user_id, with_for_update={"key_share": True})
    session.refresh(owner)
    if not owner.is_active:
        raise Unauthenticated
    project_id = None if project is None else queries.reachable_project(session, principal, project)
    missing = _missing_scopes(session, principal, project_id, scopes)
    if missing:
        raise PermissionDenied(permission=", ".join(missing))
    useless = sorted(set(scopes) - _project_scopes(scopes, project_id))
    if project_id is not None and useless:
        raise ScopeOutsideProject(scopes=", ".join(useless))
    living = queries.unrevoked_keys(session, principal.user_id)
    if len(living) >= MAX_KEYS:
        raise TooManyKeys(limit=MAX_KEYS)
    for key, expired in living:
        if key.name == name:
            if not expired:
                raise NameTaken(resource="API key", name=name)
            key.revoked_at, key.revoke_reason = key.expires_at, "expired"
            session.flush()
    shown = PREFIX + secrets.token_urlsafe(32)
    now = func.clock_timestamp()
    row = ApiKey(
        user_id=principal.user_id,
        project_id=project_id,
        name=name,
        prefix=shown[:SHOWN_CHARACTERS],
        key_hash=hash_token(shown),
        scopes=sorted(set(scopes)),
        expires_at=None if expires_in_days is None else now + timedelta(days=expires_in_days),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    audit.record(
        session,
        principal.actor,
        AuditAction.API_KEY_CREATED,
        "api_key",
        row.uuid,
        project=project,
        name=name,
        prefix=row.prefix,
        scopes=row.scopes,
        expires_at=row.expires_at,
    )
    announce(
        session,
        NotificationType.SECURITY_KEY_CREATED,
        to=[owner.id],
        name=name,
        key=row.uuid,
    )
    return KeyRow(row, owner, project), shown


def revoke_key(session: Session, principal: Principal, owner: User, uuid: UUID) -> None:
    """Revoke a key of ``owner`` unless it is already revoked. The guard has checked the caller.

    Raises:
        NotFound: when the owner has no such key.
    """
    found = queries.get_key(session, owner, uuid, lock=True)
    if found.key.revoked_at is not None:
        return
    found.key.revoked_at = func.clock_timestamp()
    found.key.revoke_reason = "revoked"
    session.flush()
    audit.record(
        session,
        principal.actor,
        AuditAction.API_KEY_REVOKED,
        "api_key",
        found.key.uuid,
        project=found.project,
        name=found.key.name,
        owner={"uuid": owner.uuid, "username": owner.username},
    )
    if owner.id != principal.user_id:
        announce(
            session,
            NotificationType.SECURITY_KEY_REVOKED,
            to=[owner.id],
            name=found.key.name,
            key=found.key.uuid,
            by=principal.username,
        )


def _missing_scopes(
    session: Session, principal: Principal, project_id: int | None, scopes: list[str]
) -> list[str]:
    """Return the scopes that the caller lacks: a key never has more permissions than its owner."""
    inside = _project_scopes(scopes, project_id)
    missing = missing_permissions(principal.permissions, set(scopes) - inside)
    # Everyone may let their keys use their own secrets, which requires no role.
    held: set[str] = {Permission.SECRETS_USE.value}
    for owns, permissions in queries.project_grants(session, principal, project_id):
        held |= (
            {WILDCARD}
            if owns or principal.reaches_all_projects
            else filter_project_permissions(permissions or ())
        )
    if project_id is None:
        # A ``*`` in one project must not become a ``*`` everywhere, which a key without a project
        # would have.
        if WILDCARD in held:
            held = (held - {WILDCARD}) | {f"{name}:{WILDCARD}" for name in PROJECT_RESOURCES}
        held |= principal.permissions
        if principal.role == PLAIN_USER:
            held.add(Permission.PROJECTS_WRITE)
    return sorted([*missing, *missing_permissions(held, inside)])


def _project_scopes(scopes: list[str], project_id: int | None) -> set[str]:
    """Return the scopes that apply in projects, including ``*`` in a key limited to one project."""
    return {
        scope
        for scope in scopes
        if scope.partition(":")[0] in PROJECT_RESOURCES
        or (scope == WILDCARD and project_id is not None)
    }

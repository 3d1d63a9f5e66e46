"""Creation, changes and deletion of roles.

A caller who creates or changes a role must, at that moment, hold all permissions that the role
contains before and after the change. Only holders of ``*`` can change a role that they hold
themselves, globally or in a project. All changes run under the accounts lock, because accounts and
roles together decide who is an administrator.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.core.etags import require_tag
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import (
    HeldRole,
    PermissionDenied,
    RoleInUse,
    SystemRole,
)
from aiplatform.server.identity.models import Role
from aiplatform.server.identity.service.accounts import lock_and_read_permissions
from aiplatform.server.identity.service.administration import ensure_administrator_remains


def role_tag(role: Role) -> str:
    """Return the ETag of a role.

    It is a hash of the role's content, because the table has no column for the time of a change.
    """
    said = "\x00".join([role.name, role.description or "", *sorted(role.permissions)])
    return f'"{hashlib.sha256(said.encode()).hexdigest()[:16]}"'


def create_role(
    session: Session,
    principal: Principal,
    *,
    name: str,
    description: str | None,
    permissions: list[str],
) -> Role:
    """Create a role.

    Raises:
        NameTaken: when the name is reserved or already in use (ignoring case).
        PermissionDenied: for a permission that the caller lacks.
    """
    held = lock_and_read_permissions(session, principal, Permission.ROLES_WRITE)
    _refuse_beyond(held, permissions)
    taken = session.scalar(select(Role.id).where(func.lower(Role.name) == name.lower()).limit(1))
    if taken is not None or name.lower() in rules.RESERVED_ROLES:
        raise NameTaken(resource="role", name=name)
    role = Role(name=name, description=description, permissions=sorted(set(permissions)))
    session.add(role)
    session.flush()
    session.refresh(role)
    audit.record(
        session,
        principal.actor,
        AuditAction.ROLE_CREATED,
        "role",
        role.uuid,
        name=name,
        permissions=role.permissions,
    )
    return role


def update_role(
    session: Session,
    principal: Principal,
    name: str,
    changes: Mapping[str, Any],
    if_match: str | None,
) -> Role:
    """Change a role's description or permissions. The holders' next requests use the new ones.

    Raises:
        NotFound: when there is no such role.
        SystemRole: when it is a system role.
        HeldRole: when the caller has the role and does not hold ``*``.
        PreconditionRequired, PreconditionFailed: see :func:`require_tag`.
        PermissionDenied: for a permission, old or new, that the caller lacks.
        LastAdministrator: when there would no longer be an active user who holds ``*``.
    """
    role, held = _changeable(session, principal, name)
    require_tag(if_match, role_tag(role), "role")
    wanted = dict(changes)
    if "permissions" in wanted:
        wanted["permissions"] = sorted(set(wanted["permissions"]))
    before = {key: getattr(role, key) for key in wanted}
    before = {key: sorted(was) if key == "permissions" else was for key, was in before.items()}
    changed = {key: value for key, value in wanted.items() if before[key] != value}
    if not changed:
        return role
    _refuse_beyond(held, {*role.permissions, *changed.get("permissions", ())})
    for key, value in changed.items():
        setattr(role, key, value)
    ensure_administrator_remains(session)
    audit.record(
        session,
        principal.actor,
        AuditAction.ROLE_UPDATED,
        "role",
        role.uuid,
        name=role.name,
        before={key: before[key] for key in changed},
        after=changed,
    )
    return role


def delete_role(
    session: Session, principal: Principal, name: str, sso_roles: Iterable[str]
) -> None:
    """Delete a role that is not in use.

    Args:
        session: the database session.
        principal: the caller.
        name: name or uuid of the role.
        sso_roles: the roles that the settings give to single sign-on groups.

    Raises:
        NotFound: when there is no such role.
        SystemRole: when it is a system role.
        HeldRole: when the caller has the role and does not hold ``*``.
        RoleInUse: when an account, member, invitation or group has the role.
        PermissionDenied: for a permission that the caller lacks.
    """
    role, held = _changeable(session, principal, name)
    _refuse_beyond(held, role.permissions)
    # The row is locked. A request that assigns the role in the meantime waits, then finds it
    # deleted.
    uses = queries.role_uses(session, role, sso_roles)
    if any(uses.values()):
        raise RoleInUse(name=role.name, **uses)
    session.execute(
        delete(Role).where(Role.id == role.id).execution_options(synchronize_session=False)
    )
    audit.record(
        session,
        principal.actor,
        AuditAction.ROLE_DELETED,
        "role",
        role.uuid,
        name=role.name,
        permissions=role.permissions,
    )


def _changeable(session: Session, principal: Principal, name: str) -> tuple[Role, frozenset[str]]:
    held = lock_and_read_permissions(session, principal, Permission.ROLES_WRITE)
    role = queries.find_role(session, name, lock=True)
    if role.is_system:
        raise SystemRole(name=role.name)
    if WILDCARD not in held and queries.holds_role(session, principal.user_id, role):
        raise HeldRole(name=role.name)
    return role, held


def _refuse_beyond(held: frozenset[str], permissions: Iterable[str]) -> None:
    missing = rules.missing_permissions(held, permissions)
    if missing:
        raise PermissionDenied(permission=", ".join(missing))

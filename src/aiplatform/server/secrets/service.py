"""Functions that store, replace and delete secrets, and pass them to tasks; users see no values."""

from collections.abc import Mapping
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import SecretKind
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core import audit, encryption
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.secrets import queries
from aiplatform.server.secrets.errors import NoSuchSecret, TooManySecrets
from aiplatform.server.secrets.models import Secret
from aiplatform.server.secrets.queries import Owner

MAX_SECRETS = 200
USES_PROJECT_SECRETS = Permission.TASKS_WRITE
"""Permission that a task's author must hold in a project for the task to get its secrets."""


def set_secret(
    session: Session,
    actor: Actor,
    owner: Owner,
    name: str,
    value: str,
    kind: SecretKind,
    *,
    project: UUID | None = None,
) -> tuple[Secret, bool]:
    """Store a secret under a name, replacing an earlier one.

    Return the secret, and True if the name is new.

    Raises:
        TooManySecrets: beyond :data:`MAX_SECRETS`.
        KeyFileUnusable: when there is no key to encrypt with.
    """
    found = queries.find(session, owner, name, lock=True)
    new = found is None
    if found is None:
        if queries.count(session, owner) >= MAX_SECRETS:
            raise TooManySecrets(limit=MAX_SECRETS)
        found = Secret(uuid=uuid4(), name=name, **owner)
        session.add(found)
    found.kind = kind.value
    found.value = encryption.encrypt(
        value, encryption.context_of(Secret.__table__.c.value, uuid=found.uuid)
    )
    audit.record(
        session,
        actor,
        AuditAction.SECRET_STORED,
        "secret",
        found.uuid,
        project=project,
        name=name,
        kind=kind.value,
        replaced=not new,
    )
    session.flush()
    session.refresh(found)
    return found, new


def remove_secret(
    session: Session, actor: Actor, owner: Owner, name: str, *, project: UUID | None = None
) -> None:
    """Delete a secret. Waiting tasks that name it will fail with a message that says so.

    Raises:
        NotFound: when there is no secret with that name.
    """
    found = queries.find(session, owner, name, lock=True)
    if found is None:
        raise NotFound(resource="secret")
    audit.record(
        session, actor, AuditAction.SECRET_DELETED, "secret", found.uuid, project=project, name=name
    )
    session.delete(found)
    session.flush()


def may_use_own(context: ProjectContext) -> bool:
    """Return True if the caller's tasks get the caller's own secrets.

    A user's own secrets belong to no project, so no role grants their use. An API key needs the
    scope ``secrets:use``.
    """
    return context.principal.in_scope(Permission.SECRETS_USE)


def require_usable(session: Session, context: ProjectContext, wanted: Mapping[str, str]) -> None:
    """Check that a task submitted by the caller may get the secrets that it names.

    Raises:
        NoSuchSecret: for a name that neither the caller nor the project has.
        PermissionDenied: for a project secret, when the caller may not start tasks in the project.
            Also for a secret that can only be the caller's own, when the API key lacks the scope
            ``secrets:use``.
    """
    own, shared = queries.of_user(context.principal.user_id), queries.of_project(context)
    for name in sorted(set(wanted.values())):
        if may_use_own(context) and queries.find(session, own, name) is not None:
            continue
        # A caller who may not use the project's secrets must not learn their names.
        if not context.may(USES_PROJECT_SECRETS):
            raise PermissionDenied(permission=USES_PROJECT_SECRETS.value)
        if queries.find(session, shared, name) is None:
            # A key without the scope must not learn whether its owner has such a secret.
            if not may_use_own(context):
                raise PermissionDenied(permission=Permission.SECRETS_USE.value)
            raise NoSuchSecret(name=name)


def reveal_for_task(
    session: Session,
    wanted: Mapping[str, str],
    *,
    author_id: int | None,
    project_id: int | None,
    project: UUID | None,
    task: UUID,
) -> dict[str, str]:
    """Return the values of the secrets that a task names, keyed by environment variable.

    The author's own secret takes precedence over the project's. Secrets of a deactivated author are
    not used. If ``author_id`` is None, only secrets of the project are used.

    Raises:
        NoSuchSecret: when a secret was deleted after the task was submitted.
        KeyFileUnusable, SecretUnreadable: when a secret can't be decrypted on this machine.
    """
    active = author_id is not None and session.scalar(
        select(User.is_active).where(User.id == author_id)
    )
    values: dict[str, str] = {}
    for variable, name in wanted.items():
        found = None
        if active and author_id is not None:
            found = queries.find(session, queries.of_user(author_id), name, lock=True)
        if found is None and project_id is not None:
            found = queries.find(session, {"project_id": project_id}, name, lock=True)
        if found is None:
            raise NoSuchSecret(name=name)
        context = encryption.context_of(Secret.__table__.c.value, uuid=found.uuid)
        values[variable] = encryption.decrypt(found.value, context)
        found.last_used_at = session.scalar(select(func.clock_timestamp()))
        # Using a secret must not change ``updated_at``, but an UPDATE that omits the column
        # sets it to the current time. SQLAlchemy leaves out equal values, so the column itself is
        # assigned.
        found.updated_at = Secret.updated_at
        audit.record(
            session,
            audit.SYSTEM,
            AuditAction.SECRET_USED,
            "secret",
            found.uuid,
            project=project,
            name=name,
            task=task,
        )
    session.flush()
    return values

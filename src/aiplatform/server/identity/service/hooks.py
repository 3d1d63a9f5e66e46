"""Hooks through which changes to accounts trigger actions in higher domains.

The composition root registers the handlers. Each is called in the transaction of the change, so it
can refuse the change by raising.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import Language
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import User

T = TypeVar("T")


class ProjectRole(NamedTuple):
    """A membership in a project that an invitation would grant."""

    project_id: int
    role_id: int


OnUserDelete = Callable[[Session, Actor, User, User | None, bool], None]
"""Handler for the deletion of a user: (session, actor, user, successor, needs_consent).

It raises OwnsProjects, or transfers the user's projects to the successor. If ``needs_consent`` is
true, it transfers only projects that the successor has agreed to be a member of.
"""

OnDeactivate = Callable[[Session, Actor, User], dict[str, int]]
"""Handler for the deactivation of a user: (session, actor, user).

It stops the user's tasks and returns counts for the audit entry, keyed by name.
"""

HoldsMore = Callable[[Session, Principal, User], bool]
"""Handler that compares permissions: (session, principal, user).

It returns True if the user has permissions in projects that the principal lacks.
"""

OnInvite = Callable[[Session, User, UUID, str], ProjectRole]
"""Handler that checks an invitation to a project: (session, inviter, project, role).

It returns the membership that the invitation would grant. It raises NotFound for an unknown role or
a project that the inviter can't see, and PermissionDenied if the inviter may not grant the role.
"""

OnJoin = Callable[[Session, User, User, Actor, ProjectRole], None]
"""Handler for an accepted invitation: (session, inviter, user, actor, membership).

It makes the user a member, or raises as :data:`OnInvite` does.
"""

DescribeProjects = Callable[[Session, list[int]], dict[int, tuple[UUID, str]]]
"""Handler that returns the uuids and names of projects, keyed by id."""

OnSecurityEvent = Callable[[Session, User, str, dict[str, str]], None]
"""Handler for a security event: (session, user, kind, facts).

It notifies the account's holder of a security event.
"""

SendLink = Callable[[Session, str, str, str, Language], bool]
"""Handler that delivers a link: (session, email, kind, link, language).

It queues a message with the link; it returns False if messages can't be sent.
"""

_on_user_delete: list[OnUserDelete] = []
_on_deactivate: list[OnDeactivate] = []
_holds_more: list[HoldsMore] = []
_on_invite: list[OnInvite] = []
_on_join: list[OnJoin] = []
_describe_projects: list[DescribeProjects] = []
_on_security_event: list[OnSecurityEvent] = []
_send_link: list[SendLink] = []


def _add(handlers: list[T], handler: T) -> None:
    if handler not in handlers:
        handlers.append(handler)


def on_user_delete(handler: OnUserDelete) -> None:
    """Register a handler that prevents a user's deletion, or transfers the user's projects."""
    _add(_on_user_delete, handler)


def on_deactivation(handler: OnDeactivate) -> None:
    """Register a handler that stops the tasks of a deactivated account."""
    _add(_on_deactivate, handler)


def on_management(handler: HoldsMore) -> None:
    """Register a handler that compares an account's rights in a domain with the caller's."""
    _add(_holds_more, handler)


def on_invitation(invite: OnInvite, join: OnJoin, describe: DescribeProjects) -> None:
    """Register the handlers that check, create and describe memberships granted by invitations."""
    _add(_on_invite, invite)
    _add(_on_join, join)
    _add(_describe_projects, describe)


def on_security_event(handler: OnSecurityEvent) -> None:
    """Register a handler that notifies account holders of security events."""
    _add(_on_security_event, handler)


def on_link(handler: SendLink) -> None:
    """Register a handler that delivers links, for example by e-mail."""
    _add(_send_link, handler)


def run_user_delete_hooks(
    session: Session, actor: Actor, user: User, successor: User | None, *, needs_consent: bool
) -> None:
    """Call the handlers registered with :func:`on_user_delete`, in the order of registration."""
    for handler in _on_user_delete:
        handler(session, actor, user, successor, needs_consent)


def run_deactivation_hooks(session: Session, actor: Actor, user: User) -> dict[str, int]:
    """Call the handlers registered with :func:`on_deactivation`; return their counts by name."""
    return {
        name: count
        for handler in _on_deactivate
        for name, count in handler(session, actor, user).items()
    }


def holds_more(session: Session, principal: Principal, user: User) -> bool:
    """Return True if a higher domain grants the user a permission that the principal lacks."""
    return any(handler(session, principal, user) for handler in _holds_more)


def check_membership(session: Session, inviter: User, project: UUID, role: str) -> ProjectRole:
    """Return the membership that an invitation would grant; the handler checks the inviter."""
    (handler,) = _on_invite
    return handler(session, inviter, project, role)


def join_project(
    session: Session, inviter: User, user: User, actor: Actor, membership: ProjectRole
) -> None:
    """Make the user a member of the project, if the inviter may still grant the membership."""
    for handler in _on_join:
        handler(session, inviter, user, actor, membership)


def describe_projects(session: Session, ids: list[int]) -> dict[int, tuple[UUID, str]]:
    """Return the uuids and names of projects, keyed by id."""
    return {
        id_: found for handler in _describe_projects for id_, found in handler(session, ids).items()
    }


def announce_security_event(session: Session, user: User, kind: str, **facts: str) -> None:
    """Notify the account's holder of a security event.

    ``kind`` is the part of the notification type after ``security:``. ``facts`` must never contain
    secrets.
    """
    for handler in _on_security_event:
        handler(session, user, kind, facts)


def send_link(session: Session, email: str, kind: str, link: str, language: Language) -> bool:
    """Deliver a link; return False if there is no way to send it.

    ``kind`` is ``invitation`` or ``password_reset``.
    """
    return any(handler(session, email, kind, link, language) for handler in _send_link)

"""What accounts cause in higher domains. The composition root registers the handlers.

Each is called in the transaction of what it follows from, so it can still refuse by raising.
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
    """A membership that an invitation promises."""

    project_id: int
    role_id: int


OnUserDelete = Callable[[Session, Actor, User, User | None, bool], None]
"""(session, actor, user, successor, asks): raises OwnsProjects, or gives the projects to the
successor; with ``asks`` only those that the successor has agreed to be in.
"""

OnDeactivate = Callable[[Session, Actor, User], dict[str, int]]
"""(session, actor, user): stops what the user left at work; counts for the audit, by their name."""

HoldsMore = Callable[[Session, Principal, User], bool]
"""(session, principal, user): whether the user holds in projects what the principal lacks."""

OnInvite = Callable[[Session, User, UUID, str], ProjectRole]
"""(session, inviter, project, role): raises NotFound or PermissionDenied."""

OnJoin = Callable[[Session, User, User, Actor, ProjectRole], None]
"""(session, inviter, user, actor, membership): raises as :data:`OnInvite` does."""

DescribeProjects = Callable[[Session, list[int]], dict[int, tuple[UUID, str]]]
"""The uuids and names of projects by their ids."""

OnSecurityEvent = Callable[[Session, User, str, dict[str, str]], None]
"""(session, user, kind, facts): something that the account's holder should hear of."""

SendLink = Callable[[Session, str, str, str, Language], bool]
"""(session, email, kind, link, language): queues a message; False when there is no way to send."""

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
    """Let a higher domain refuse, or settle what is left behind."""
    _add(_on_user_delete, handler)


def on_deactivation(handler: OnDeactivate) -> None:
    """Let a higher domain stop what a deactivated account left at work."""
    _add(_on_deactivate, handler)


def on_management(handler: HoldsMore) -> None:
    """Let a higher domain compare what it grants to an account with what the caller holds."""
    _add(_holds_more, handler)


def on_invitation(invite: OnInvite, join: OnJoin, describe: DescribeProjects) -> None:
    """Let the domain of projects check and carry out the membership that an invitation names."""
    _add(_on_invite, invite)
    _add(_on_join, join)
    _add(_describe_projects, describe)


def on_security_event(handler: OnSecurityEvent) -> None:
    """Let somebody tell the account's holder."""
    _add(_on_security_event, handler)


def on_link(handler: SendLink) -> None:
    """Let somebody deliver links, by e-mail for example."""
    _add(_send_link, handler)


def user_goes(
    session: Session, actor: Actor, user: User, successor: User | None, *, asks: bool
) -> None:
    """Call what was registered with :func:`on_user_delete`."""
    for handler in _on_user_delete:
        handler(session, actor, user, successor, asks)


def user_stops(session: Session, actor: Actor, user: User) -> dict[str, int]:
    """Call what was registered with :func:`on_deactivation`, in that order."""
    return {
        name: count
        for handler in _on_deactivate
        for name, count in handler(session, actor, user).items()
    }


def holds_more(session: Session, principal: Principal, user: User) -> bool:
    """Return True if a higher domain grants the user what the principal lacks."""
    return any(handler(session, principal, user) for handler in _holds_more)


def check_membership(session: Session, inviter: User, project: UUID, role: str) -> ProjectRole:
    """The membership that the inviter may promise."""
    (handler,) = _on_invite
    return handler(session, inviter, project, role)


def join_project(
    session: Session, inviter: User, user: User, actor: Actor, membership: ProjectRole
) -> None:
    """Make the user a member, if the inviter still could."""
    for handler in _on_join:
        handler(session, inviter, user, actor, membership)


def describe_projects(session: Session, ids: list[int]) -> dict[int, tuple[UUID, str]]:
    """What to call projects."""
    return {
        id_: found for handler in _describe_projects for id_, found in handler(session, ids).items()
    }


def tell(session: Session, user: User, kind: str, **facts: str) -> None:
    """Tell the account's holder of a security event: ``kind`` is what follows ``security:``.

    Secrets must never be passed in ``facts``.
    """
    for handler in _on_security_event:
        handler(session, user, kind, facts)


def send_link(session: Session, email: str, kind: str, link: str, language: Language) -> bool:
    """Deliver a link, if there is a way. ``kind`` is ``invitation`` or ``password_reset``."""
    return any(handler(session, email, kind, link, language) for handler in _send_link)

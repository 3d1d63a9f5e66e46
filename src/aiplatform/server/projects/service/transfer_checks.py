"""Objections of higher domains to giving a project to a new owner."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project

OnHandover = Callable[[Session, Project, User], None]
"""Handler (session, project, new owner), called before the change; refuses it by raising."""

_on_handover: list[OnHandover] = []


def on_handover(handler: OnHandover) -> None:
    """Register a handler that may refuse a new owner; called by the composition root."""
    if handler not in _on_handover:
        _on_handover.append(handler)


def check_handover(session: Session, project: Project, owner: User) -> None:
    """Call all handlers registered with :func:`on_handover`."""
    for handler in _on_handover:
        handler(session, project, owner)

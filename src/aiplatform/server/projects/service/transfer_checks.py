"""Callbacks through which higher domains can reject the transfer of a project to a new owner."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project

OnTransfer = Callable[[Session, Project, User], None]
"""Callback (session, project, new owner), called before the change; it raises to reject it."""

_on_transfer: list[OnTransfer] = []


def on_transfer(handler: OnTransfer) -> None:
    """Register a callback that may reject a new owner; called by the composition root."""
    if handler not in _on_transfer:
        _on_transfer.append(handler)


def check_transfer(session: Session, project: Project, owner: User) -> None:
    """Call all handlers registered with :func:`on_transfer`."""
    for handler in _on_transfer:
        handler(session, project, owner)

"""Selects of secrets. A place is a user's own or a project's."""

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.secrets.models import Secret

Place = dict[str, int]
"""Whose it is: ``{"user_id": …}`` or ``{"project_id": …}``."""


def of_user(user_id: int) -> Place:
    """A user's own."""
    return {"user_id": user_id}


def of_project(context: ProjectContext) -> Place:
    """A project's."""
    return {"project_id": context.project_id}


def list_secrets(place: Place) -> Select[Secret]:
    """All of a place."""
    return select(Secret).filter_by(**place)


def find(session: Session, place: Place, name: str, *, lock: bool = False) -> Secret | None:
    """The one of that name."""
    statement = list_secrets(place).where(Secret.name == name)
    return session.scalar(statement.with_for_update() if lock else statement)


def count(session: Session, place: Place) -> int:
    """How many there are."""
    return session.scalar(select(func.count()).select_from(Secret).filter_by(**place)) or 0

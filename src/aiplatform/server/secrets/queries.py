"""SELECT statements of secrets. A place is where secrets belong to: a user or a project."""

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.secrets.models import Secret

Place = dict[str, int]
"""The owner of secrets: ``{"user_id": …}`` or ``{"project_id": …}``."""


def of_user(user_id: int) -> Place:
    """Return the place of a user's own secrets."""
    return {"user_id": user_id}


def of_project(context: ProjectContext) -> Place:
    """Return the place of a project's secrets."""
    return {"project_id": context.project_id}


def list_secrets(place: Place) -> Select[Secret]:
    """Return a statement for all secrets of a place."""
    return select(Secret).filter_by(**place)


def find(session: Session, place: Place, name: str, *, lock: bool = False) -> Secret | None:
    """Return the secret of a place with this name; None if there is none."""
    statement = list_secrets(place).where(Secret.name == name)
    return session.scalar(statement.with_for_update() if lock else statement)


def count(session: Session, place: Place) -> int:
    """Return the number of secrets of a place."""
    return session.scalar(select(func.count()).select_from(Secret).filter_by(**place)) or 0

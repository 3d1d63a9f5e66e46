"""SELECT statements for secrets, which belong to a user or a project."""

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.secrets.models import Secret

Owner = dict[str, int]
"""The owner of secrets: ``{"user_id": …}`` or ``{"project_id": …}``."""


def of_user(user_id: int) -> Owner:
    """Return a user as the owner of secrets."""
    return {"user_id": user_id}


def of_project(context: ProjectContext) -> Owner:
    """Return a project as the owner of secrets."""
    return {"project_id": context.project_id}


def list_secrets(owner: Owner) -> Select[Secret]:
    """Return a statement for all secrets of an owner."""
    return select(Secret).filter_by(**owner)


def find(session: Session, owner: Owner, name: str, *, lock: bool = False) -> Secret | None:
    """Return the secret of an owner with this name; None if there is none."""
    statement = list_secrets(owner).where(Secret.name == name)
    return session.scalar(statement.with_for_update() if lock else statement)


def count(session: Session, owner: Owner) -> int:
    """Return the number of secrets of an owner."""
    return session.scalar(select(func.count()).select_from(Secret).filter_by(**owner)) or 0

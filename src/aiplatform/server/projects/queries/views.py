"""Statements for saved views of lists."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import (
    SavedView,
)


def list_views(context: ProjectContext, *, page: str | None = None) -> Select[*tuple[Any, ...]]:
    """Select the views that the caller may see in a project, each with the user who saved it.

    They are the caller's own, and those that others have shared.
    """
    statement = (
        select(SavedView, User)
        .join(User, User.id == SavedView.user_id)
        .where(
            SavedView.project_id == context.project_id,
            or_(SavedView.user_id == context.principal.user_id, SavedView.shared),
        )
    )
    return statement if page is None else statement.where(SavedView.page == page)


def get_view(
    session: Session, context: ProjectContext, uuid: UUID, *, lock: bool = False
) -> tuple[SavedView, User]:
    """Return a view that the caller may see, and the user who saved it.

    Raises:
        NotFound: when the project has no such view, or another user keeps it private.
    """
    statement = list_views(context).where(SavedView.uuid == uuid)
    if lock:
        statement = statement.with_for_update(of=SavedView)
    row = session.execute(statement).one_or_none()
    if row is None:
        raise NotFound(resource="saved view")
    return row[0], row[1]


def count_views(session: Session, context: ProjectContext) -> int:
    """Return the number of views that the caller has saved in the project."""
    statement = (
        select(func.count())
        .select_from(SavedView)
        .where(
            SavedView.project_id == context.project_id,
            SavedView.user_id == context.principal.user_id,
        )
    )
    return session.scalar(statement) or 0

"""Saved views: save, change and delete the filters, order and columns of a list."""

from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import ListPage
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.errors import TooManyViews
from aiplatform.server.projects.models import SavedView

MAX_VIEWS = 200
"""Maximum number of views that a user can save in one project."""


def create_view(
    session: Session,
    context: ProjectContext,
    *,
    page: ListPage,
    name: str,
    state: dict[str, Any],
    shared: bool,
) -> SavedView:
    """Save a new view for the caller.

    Raises:
        NameTaken: when the caller has a view of this name on the page.
        TooManyViews: beyond :data:`MAX_VIEWS`.
    """
    if queries.count_views(session, context) >= MAX_VIEWS:
        raise TooManyViews(limit=MAX_VIEWS)
    view = SavedView(
        project_id=context.project_id,
        user_id=context.principal.user_id,
        page=page.value,
        name=name,
        state=state,
        shared=shared,
    )
    _store(session, view)
    _record(session, context, AuditAction.SAVED_VIEW_CREATED, view, shared=shared)
    return view


def update_view(
    session: Session, context: ProjectContext, view: SavedView, changes: dict[str, Any]
) -> None:
    """Change the name, the state or the visibility of a locked view.

    Raises:
        NameTaken: when its user has another view of this name on the page.
    """
    before = {field: getattr(view, field) for field in changes}
    for field, value in changes.items():
        setattr(view, field, value)
    _store(session, view)
    changed = audit.changes(before, changes)
    _record(session, context, AuditAction.SAVED_VIEW_UPDATED, view, changes=changed)


def delete_view(session: Session, context: ProjectContext, view: SavedView) -> None:
    """Delete a locked view."""
    _record(session, context, AuditAction.SAVED_VIEW_DELETED, view)
    session.delete(view)
    session.flush()


def _store(session: Session, view: SavedView) -> None:
    name = view.name
    try:
        with session.begin_nested():
            session.add(view)
            session.flush()
    except IntegrityError as error:
        raise NameTaken(resource="saved view", name=name) from error
    session.refresh(view)


def _record(
    session: Session, context: ProjectContext, action: AuditAction, view: SavedView, **details: Any
) -> None:
    audit.record(
        session,
        context.actor,
        action,
        "saved_view",
        view.uuid,
        project=context.project_uuid,
        name=view.name,
        page=view.page,
        **details,
    )

"""Aliases: set, move, undo and delete names that point to one version of a model.

A lock on the model name serialises all changes to its aliases. The registration of versions takes
the same lock. Both lock the name first and then the model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import ModelStatus
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NotFound
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.registry import queries
from aiplatform.server.registry.access import ModelContext
from aiplatform.server.registry.errors import (
    AliasIsVersion,
    AliasMoved,
    FormerVersionGone,
    ModelNotReady,
    NotAnAlias,
    NothingToUndo,
    TooManyAliases,
)
from aiplatform.server.registry.models import Model, ModelAlias, ModelAliasMove
from aiplatform.server.registry.rules import MAX_ALIASES
from aiplatform.server.registry.service.registration import lock_name


@dataclass(frozen=True, slots=True)
class AliasMove:
    """A move of an alias, as reported to other domains. Shared aliases have no ``project_id``."""

    project_id: int | None
    reference: str
    target: Model


AliasMoveHandler = Callable[[Session, Actor, AliasMove], None]
_on_move: list[AliasMoveHandler] = []


def on_alias_move(handler: AliasMoveHandler) -> None:
    """Call ``handler`` in the transaction of each move of an alias to a version."""
    if handler not in _on_move:
        _on_move.append(handler)


def lock_alias(session: Session, context: ProjectContext, reference: str) -> None:
    """Prevent an alias that the project can use from moving until the transaction ends.

    Args:
        session: the caller's session.
        context: the right to use the project's models.
        reference: ``name@alias``.

    Raises:
        NotAnAlias: neither the project nor the shared models have such an alias.
    """
    name, _, alias = reference.partition("@")
    places = (context.project_id, None)
    for project_id in places:
        lock_name(session, project_id, name)
    if not any(queries.find_alias(session, place, name, alias) for place in places):
        raise NotAnAlias(reference=reference)


@dataclass(frozen=True, slots=True)
class _Place:
    """An alias of a locked model name, and the version that it points to, if it exists."""

    project_id: int | None
    model_name: str
    alias: str
    row: ModelAlias | None
    current: Model | None


def set_alias(
    session: Session, context: ModelContext, alias: str, *, expected: UUID | None, reason: str
) -> None:
    """Point an alias to the model of ``context``, and create the alias if it does not exist.

    Nothing is changed or recorded if the alias points to this model already.

    Args:
        session: the caller's session; not committed here.
        context: the right to change the model.
        alias: the name of the alias.
        expected: uuid of the version that the alias points to now; None if the alias does not
            exist.
        reason: reason for the move.

    Raises:
        NotFound: the model has since been deleted.
        AliasMoved: the alias does not point to ``expected``.
        ModelNotReady: the model's files are not complete.
        AliasIsVersion: a version of the model has this name.
        TooManyAliases: the model name has too many aliases.
    """
    place = _lock_place(session, context, alias)
    _check_expected(session, place, expected)
    target = queries.lock_version(session, context.model_id, place.project_id, place.model_name)
    if target is None:
        raise NotFound(resource="model")
    status = queries.details_of(session, target).status
    if status != ModelStatus.READY:
        raise ModelNotReady(model=f"{target.name}@{target.version}", model_status=status)
    if place.row is None:
        if queries.is_version_taken(session, place.project_id, place.model_name, alias):
            raise AliasIsVersion(model=place.model_name, alias=alias)
        if queries.count_aliases(session, place.project_id, place.model_name) >= MAX_ALIASES:
            raise TooManyAliases(model=place.model_name, limit=MAX_ALIASES)
    if place.current is None or place.current.id != target.id:
        _move(session, context, place, target, reason)


def undo(
    session: Session,
    context: ModelContext,
    alias: str,
    *,
    expected: UUID | None,
    reason: str | None,
) -> None:
    """Undo the last move or deletion of an alias that has not been undone yet.

    Args:
        session: the caller's session; not committed here.
        context: the right to change a version of the model.
        alias: the name of the alias.
        expected: uuid of the version that the alias points to now; None if the alias was deleted.
        reason: reason for the change, if given.

    Raises:
        NotFound: there has never been such an alias, or the model has since been deleted.
        AliasMoved: the alias does not point to ``expected``.
        NothingToUndo: the last move created the alias.
        FormerVersionGone: the previous version was deleted.
        AliasIsVersion: since the alias was deleted, a version with this name was created.
    """
    place = _lock_place(session, context, alias)
    last = queries.last_alias_move(session, place.project_id, place.model_name, alias)
    if last is None and place.row is None:
        raise NotFound(resource="alias")
    _check_expected(session, place, expected)
    if last is None or last.from_version is None:
        raise NothingToUndo(model=place.model_name, alias=alias)
    target = None
    if last.from_model_id is not None:
        target = queries.lock_version(
            session, last.from_model_id, place.project_id, place.model_name
        )
    if target is None:
        raise FormerVersionGone(model=place.model_name, alias=alias, version=last.from_version)
    if place.row is None and queries.is_version_taken(
        session, place.project_id, place.model_name, alias
    ):
        raise AliasIsVersion(model=place.model_name, alias=alias)
    _move(session, context, place, target, reason, undoes=last)


def delete_alias(session: Session, context: ModelContext, alias: str, reason: str | None) -> None:
    """Delete an alias. Its history is kept, and :func:`undo` can restore it.

    Raises:
        NotFound: there is no such alias, or the model has since been deleted.
    """
    place = _lock_place(session, context, alias)
    if place.row is None:
        raise NotFound(resource="alias")
    _move(session, context, place, None, reason)


def _lock_place(session: Session, context: ModelContext, alias: str) -> _Place:
    """Lock the name of the model, and read where one of its aliases points.

    Raises:
        NotFound: the model has since been deleted.
    """
    model = queries.get_entry(session, context.model_id).model
    project_id, name = model.project_id, model.name
    lock_name(session, project_id, name)
    row = queries.find_alias(session, project_id, name, alias)
    current = None if row is None else session.get_one(Model, row.model_id)
    return _Place(project_id, name, alias, row, current)


def _check_expected(session: Session, place: _Place, expected: UUID | None) -> None:
    """Refuse a change if the alias has moved since the caller read it.

    Raises:
        AliasMoved: the alias does not point to ``expected``.
    """
    current = place.current
    if (None if current is None else current.uuid) == expected:
        return
    version = None if current is None else current.version
    seen = queries.version_label(session, place.project_id, place.model_name, expected)
    mover = None if place.row is None else queries.username_of(session, place.row.moved_by)
    raise AliasMoved(
        model=place.model_name,
        alias=place.alias,
        expected=_name_version(seen, expected),
        expected_zh=_name_version_zh(seen, expected),
        current=_name_version(version, current),
        current_zh=_name_version_zh(version, current),
        by="" if mover is None else f", where {mover} moved it",
        by_zh="" if mover is None else f"（由 {mover} 移动）",
    )


def _name_version(version: str | None, there: object) -> str:
    if there is None:
        return "no version"
    return "another version" if version is None else f"version {version}"


def _name_version_zh(version: str | None, there: object) -> str:
    if there is None:
        return "空（别名不存在）"
    return "其他版本" if version is None else f"版本 {version}"


def _move(
    session: Session,
    context: ModelContext,
    place: _Place,
    target: Model | None,
    reason: str | None,
    undoes: ModelAliasMove | None = None,
) -> None:
    """Point the alias to ``target``, or delete the alias, and record the move."""
    reason = None if reason is None else clean_text(reason)
    user_id = context.principal.user_id
    current = place.current
    if target is None:
        session.delete(place.row)
    elif place.row is None:
        session.add(
            ModelAlias(
                project_id=place.project_id,
                model_name=place.model_name,
                name=place.alias,
                model_id=target.id,
                reason=reason,
                moved_by=user_id,
            )
        )
    else:
        place.row.model_id, place.row.reason, place.row.moved_by = target.id, reason, user_id
    session.add(
        ModelAliasMove(
            project_id=place.project_id,
            model_name=place.model_name,
            alias=place.alias,
            from_model_id=None if current is None else current.id,
            from_version=None if current is None else current.version,
            to_model_id=None if target is None else target.id,
            to_version=None if target is None else target.version,
            reason=reason,
            undoes=None if undoes is None else undoes.id,
            moved_by=user_id,
        )
    )
    session.flush()
    if target is not None:
        move = AliasMove(place.project_id, f"{place.model_name}@{place.alias}", target)
        for handler in _on_move:
            handler(session, context.actor, move)
    shown = target or current
    assert shown is not None, "a move has at least one end"
    audit.record(
        session,
        context.actor,
        AuditAction.MODEL_ALIAS_DELETED if target is None else AuditAction.MODEL_ALIAS_MOVED,
        "model",
        shown.uuid,
        project=context.project_uuid,
        name=place.model_name,
        alias=place.alias,
        version={
            "before": None if current is None else current.version,
            "after": None if target is None else target.version,
        },
        reason=reason,
        undo=undoes is not None,
    )

"""Use cases: create, clone, change and delete experiments."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import delete, func
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import ExperimentStatus, TrainingMethod
from aiplatform.protocol.trainings import SPECS, AnyTraining, parse_training
from aiplatform.protocol.validation_errors import message_of, message_zh_of, place_of
from aiplatform.server.core import audit
from aiplatform.server.datasets.service.quality import compare_with_held_out
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.errors import ConfigInvalid, ExperimentBusy
from aiplatform.server.experiments.models import Experiment, ExperimentDetails, ExperimentTag
from aiplatform.server.experiments.rules import merge_changes
from aiplatform.server.experiments.service import trainings
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.service import require_readable
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model

OnDelete = Callable[[Session, Experiment], Mapping[str, Any]]
"""Callback for the deletion of an experiment.

It is called in the transaction with the locked experiment, before rows are deleted. It returns
details of its own deletions for the audit entry, or raises :class:`ExperimentBusy` to prevent the
deletion.
"""

_on_delete: list[OnDelete] = []


def on_delete(handler: OnDelete) -> None:
    """Register a callback of a higher domain for the deletion of experiments."""
    if handler not in _on_delete:
        _on_delete.append(handler)


def create_experiment(
    session: Session,
    context: ProjectContext,
    *,
    name: str,
    description: str | None,
    config: AnyTraining,
    note: str | None = None,
    tags: Iterable[str] = (),
    cloned_from: Experiment | None = None,
) -> Experiment:
    """Create an experiment. If ``config`` names no dataset version, each run uses the newest one.

    Raises:
        NotFound: the project may not use the model or dataset.
        ModelNotReady, DatasetNotTrainable: see ``trainings.prepare``.
    """
    config, base = _checked(session, context, config)
    experiment = Experiment(
        project_id=context.project_id,
        name=clean_text(name),
        base_model=f"{base.name}@{base.version}"[:255],
        task_type=config.method.value,
        status=ExperimentStatus.PENDING.value,
        config=config.model_dump(mode="json"),
        metrics={},
    )
    session.add(experiment)
    session.flush()
    session.refresh(experiment)
    session.add(
        ExperimentDetails(
            experiment_id=experiment.id,
            description=None if description is None else clean_text(description),
            note=None if note is None else clean_text(note),
            cloned_from=None if cloned_from is None else cloned_from.id,
            base_model_id=base.id,
            created_by=context.principal.user_id,
        )
    )
    session.flush()
    _set_tags(session, experiment, tags)
    origin = {} if cloned_from is None else {"cloned_from": cloned_from.uuid}
    _record(
        session,
        context,
        AuditAction.EXPERIMENT_CREATED,
        experiment,
        base_model=base.uuid,
        **origin,
    )
    session.flush()
    return experiment


def clone_experiment(
    session: Session,
    context: ProjectContext,
    original: Experiment,
    *,
    name: str | None,
    changes: Mapping[str, Any],
) -> Experiment:
    """Create a copy of ``original`` with ``changes`` to its config. Runs are not copied.

    Raises:
        ConfigInvalid: the changed config is invalid.
        NotFound, ModelNotReady, DatasetNotTrainable: see :func:`create_experiment`.
    """
    details = queries.details_of(session, original)
    config = changed_config(original.config, changes)
    return create_experiment(
        session,
        context,
        name=name or f"{original.name} (copy)"[:255],
        description=details.description,
        config=config,
        note=details.note,
        tags=queries.tags_of(session, original),
        cloned_from=original,
    )


def changed_config(config: Mapping[str, Any], changes: Mapping[str, Any]) -> AnyTraining:
    """Return the config with ``changes``, see ``rules.merge_changes``.

    If ``changes`` contains another method, fields that only the previous method has are dropped.

    Raises:
        ConfigInvalid: the message says which value is wrong, and why.
    """
    merged = merge_changes(config, changes)
    method = str(merged.get("method"))
    if method != config.get("method", TrainingMethod.SFT) and method in SPECS:
        # Fields of the previous method are dropped. Fields that the caller gives are kept, so that
        # an unknown field is an error.
        given = {path.partition(".")[0] for path in changes}
        known = SPECS[TrainingMethod(method)].model_fields
        merged = {key: value for key, value in merged.items() if key in known or key in given}
    try:
        return parse_training(merged)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = place_of(first, merged)[:200]
        raise ConfigInvalid(
            where=where,
            kind=first["type"],
            reason=message_of(first),
            reason_zh=message_zh_of(first),
        ) from None


def update_experiment(
    session: Session, context: ProjectContext, experiment: Experiment, changes: dict[str, Any]
) -> Experiment:
    """Change a locked experiment. ``changes`` contains fields of ``ExperimentChange``.

    Raises:
        NotFound, ModelNotReady, DatasetNotTrainable: for a config; see :func:`create_experiment`.
    """
    details = session.get_one(ExperimentDetails, experiment.id)
    if "name" in changes:
        experiment.name = clean_text(changes["name"])
    for field in ("description", "note"):
        if field in changes:
            text = changes[field]
            setattr(details, field, None if text is None else clean_text(text))
    if "tags" in changes:
        _set_tags(session, experiment, changes["tags"])
    action = AuditAction.EXPERIMENT_UPDATED
    if "archived" in changes and changes["archived"] != (details.archived_at is not None):
        archive: bool = changes["archived"]
        details.archived_at = func.clock_timestamp() if archive else None
        action = AuditAction.EXPERIMENT_ARCHIVED if archive else AuditAction.EXPERIMENT_UNARCHIVED
    if not changes.keys().isdisjoint({"description", "note", "tags", "archived"}):
        # These values are in other tables, but the experiment's ETag comes from its own row's
        # ``updated_at``.
        experiment.updated_at = func.clock_timestamp()
    if "config" in changes:
        config, base = _checked(session, context, changes["config"])
        experiment.config = config.model_dump(mode="json")
        experiment.task_type = config.method.value
        experiment.base_model = f"{base.name}@{base.version}"[:255]
        details.base_model_id = base.id
    _record(session, context, action, experiment, changed=sorted(changes))
    session.flush()
    session.refresh(experiment)
    return experiment


def delete_experiment(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Delete an experiment and its sweeps. Its tasks and models are kept.

    Raises:
        NotFound: the project has no such experiment.
        ExperimentBusy: one of its tasks or sweeps has not ended.
    """
    experiment = queries.lock_experiment(session, context, uuid)
    gone: dict[str, Any] = {}
    for handler in _on_delete:
        gone.update(handler(session, experiment))
    run = queries.unfinished_task(session, experiment)
    if run is not None:
        raise ExperimentBusy(resource="task", name=run.name)
    _record(session, context, AuditAction.EXPERIMENT_DELETED, experiment, **gone)
    session.execute(delete(Experiment).where(Experiment.id == experiment.id))
    session.expire_all()


def _set_tags(session: Session, experiment: Experiment, tags: Iterable[str]) -> None:
    session.execute(delete(ExperimentTag).where(ExperimentTag.experiment_id == experiment.id))
    session.add_all(
        ExperimentTag(experiment_id=experiment.id, tag=tag)
        for tag in sorted({clean_text(tag) for tag in tags})
    )
    session.flush()


def _checked(
    session: Session, context: ProjectContext, config: AnyTraining
) -> tuple[AnyTraining, Model]:
    """Check that the caller may use the base model and datasets that a config names.

    Return the config, with the base model's name replaced by its uuid, and the base model.
    """
    require_readable(context, config)
    base = registry.usable_model(session, context, config.base_model)
    config = config.model_copy(update={"base_model": base.uuid})
    trainings.prepare(session, context, config)
    read = config.datasets()
    if (held_out := read.pop("eval_dataset", None)) is not None:
        # Held-out rows must not occur in the training data. A quality report finds such rows.
        for dataset in read.values():
            compare_with_held_out(
                session,
                context,
                dataset,
                held_out,
                base_model=base.uuid,
                max_length=config.max_length,
            )
    return config, base


def _record(
    session: Session,
    context: ProjectContext,
    action: AuditAction,
    experiment: Experiment,
    **details: Any,
) -> None:
    audit.record(
        session,
        context.actor,
        action,
        "experiment",
        experiment.uuid,
        project=context.project_uuid,
        name=experiment.name,
        **details,
    )

"""Evaluations: comparing a model with its base model on held-out rows, and storing the result."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.specs import EvaluationSpec
from aiplatform.server.datasets import service as datasets
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.errors import DatasetNotEvaluable
from aiplatform.server.experiments.rules import (
    EVALUABLE_SHAPES,
    evaluation_of,
    unmet,
    with_evaluation,
)
from aiplatform.server.experiments.service.trainings import DATASET
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import Outcome, Prepared
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry import service as registry


def prepare(session: Session, context: ProjectContext, spec: EvaluationSpec) -> Prepared:
    """Check an evaluation's data and models, and choose their exact versions.

    If the model has yet to be produced by a training task, :func:`pin_produced_model` sets it
    later.

    Raises:
        NotFound: the project may not use a model, task or dataset.
        ModelNotReady, TypeMakesNoModel, DependencyFailed, ModelMissing: the model can't be used,
            see ``registry.service.resolve_model``.
        DatasetNotEvaluable: the rows are neither conversations nor texts.
    """
    model = registry.resolve_model(session, context, spec.model)
    dataset, rows = datasets.pinned_input(session, context, spec.dataset, DATASET)
    shape = queries.shape_of(session, rows.dataset_version_id)
    if shape not in EVALUABLE_SHAPES:
        raise DatasetNotEvaluable(dataset=rows.label, shape=shape)
    pinned = spec.model_copy(update={"dataset": dataset})
    if model is None:
        return Prepared(spec=pinned, inputs=[rows])
    details = registry_queries.details_of(session, model)
    # A shared model may belong to another project's experiment.
    own = model.project_id == context.project_id
    return Prepared(
        spec=pinned.model_copy(update={"model": model.uuid}),
        inputs=[*registry.model_inputs(session, model), rows],
        experiment_id=details.experiment_id if own else None,
        model_id=model.id,
    )


def pin_produced_model(session: Session, task: Task, training: Task) -> None:
    """Set the model of a completed training task as an input of ``task``, which waited for it.

    Raises:
        ModelMissing: see ``registry.service.pin_produced_model``.
    """
    registry.pin_produced_model(session, task, training)
    task.experiment_id = training.experiment_id
    session.flush()


def failure_reason(task: Task, result: dict[str, Any]) -> str | None:
    """Return a sentence with the pass conditions that the model fails, or None if it fails none."""
    spec = EvaluationSpec.model_validate(task.config)
    found = unmet(spec.pass_if, result)
    return f"It did not pass: {'; '.join(found)}." if found else None


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Store an evaluation's result in its model and in the model's experiment."""
    if not outcome.result or task.project_id is None:
        return
    experiment = queries.lock_experiment_by_id(session, task.experiment_id)
    locked = None
    if task.model_id is not None:
        locked = registry_queries.lock_model(session, task.model_id)
    if locked is None:
        return
    model, _ = locked
    evaluation = _summary(session, task, jsonable(outcome.result))
    if task.config.get("pass_if"):
        evaluation["passed"] = outcome.status is TaskStatus.COMPLETED
    # Other projects use a shared model, too, and must not see results on this project's data.
    if model.project_id == task.project_id:
        model.metrics = {**model.metrics, "evaluation": evaluation}
    if experiment is not None:
        experiment.metrics = with_evaluation(experiment.metrics, str(model.uuid), evaluation)
    session.flush()


def _summary(session: Session, task: Task, result: dict[str, Any]) -> dict[str, Any]:
    rows = next(item for item in queries.inputs_of(session, task) if item.role == DATASET)
    return evaluation_of(
        result,
        task=str(task.uuid),
        dataset=rows.label,
        dataset_sha256=rows.content_hash,
        evaluated_at=datetime.now(UTC).isoformat(),
    )

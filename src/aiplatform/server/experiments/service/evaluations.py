"""Evaluations: a model beside its base on held-out rows, and where the outcome is kept."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.specs import EvaluationSpec
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.rules import evaluation_of, unmet, with_evaluation
from aiplatform.server.experiments.service.inputs import DATASET, pinned_rows
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry import service as registry
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service.kinds import Outcome, Prepared


def prepare(session: Session, context: ProjectContext, spec: EvaluationSpec) -> Prepared:
    """Check what an evaluation names, and pin what it will read; a model that a training has yet to
    make is pinned by :func:`read_made`.

    Raises:
        NotFound: for a model, task or dataset that the project may not use.
        ModelNotReady, MakesNoModel, DependencyFailed, MadeNoModel, NothingToLearn: see there.
    """
    model = registry.model_meant(session, context, spec.model)
    dataset, rows = pinned_rows(session, context, spec.dataset, DATASET)
    pinned = spec.model_copy(update={"dataset": dataset})
    if model is None:
        return Prepared(spec=pinned, inputs=[rows])
    details = registry_queries.details_of(session, model)
    # The evaluation of a shared model is no other project's experiment.
    own = model.project_id == context.project_id
    return Prepared(
        spec=pinned.model_copy(update={"model": model.uuid}),
        inputs=[*registry.model_inputs(session, model), rows],
        experiment_id=details.experiment_id if own else None,
        model_id=model.id,
    )


def read_made(session: Session, task: Task, training: Task) -> None:
    """Let an evaluation that waited for a training read what that has made.

    Raises:
        MadeNoModel: see ``registry.service.pin_made``.
    """
    registry.pin_made(session, task, training)
    task.experiment_id = training.experiment_id
    session.flush()


def missed(task: Task, result: dict[str, Any]) -> str | None:
    """Which conditions the measured model does not meet, if any."""
    spec = EvaluationSpec.model_validate(task.config)
    found = unmet(spec.pass_if, result)
    return f"It did not pass: {'; '.join(found)}." if found else None


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Keep what was measured with the model and with the experiment that made it."""
    if not outcome.result or task.project_id is None:
        return
    experiment = queries.lock_asked_by(session, task.experiment_id)
    locked = None
    if task.model_id is not None:
        locked = registry_queries.lock_model(session, task.model_id)
    if locked is None:
        return
    model, _ = locked
    evaluation = _summary(session, task, jsonable(outcome.result))
    if task.config.get("pass_if"):
        evaluation["passed"] = outcome.status is TaskStatus.COMPLETED
    # A shared model is others' too: what one project measured on its data is not for them.
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

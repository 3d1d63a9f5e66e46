"""Runs of experiments: queueing one, following its state, registering what it has made."""

from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import ExperimentStatus, TaskStatus
from aiplatform.protocol.specs import TrainingSpec
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.experiments.rules import STATUS_AFTER, summary_of, with_run
from aiplatform.server.experiments.service.inputs import (
    BASE_MODEL,
    DATASET,
    EVAL_DATASET,
    base_model,
    pinned_rows,
)
from aiplatform.server.notifications.service import notify_user
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import submit
from aiplatform.server.tasks.service.kinds import Outcome, Prepared

WEIGHTS = "weights/"


class NothingMade(Exception):
    """A training said that it succeeded and left no model."""


def prepare(session: Session, context: ProjectContext, spec: TrainingSpec) -> Prepared:
    """Check what a training names, and pin the versions that it will read.

    Raises:
        NotFound: for a model or dataset that the project may not use.
        ModelNotReady, NothingToLearn: see there.
    """
    _, base = base_model(session, context, spec.base_model)
    dataset, rows = pinned_rows(session, context, spec.dataset, DATASET)
    inputs = [base, rows]
    held_out = spec.eval_dataset
    if held_out is not None:
        held_out, held_out_rows = pinned_rows(session, context, held_out, EVAL_DATASET)
        inputs.append(held_out_rows)
    pinned = spec.model_copy(update={"dataset": dataset, "eval_dataset": held_out})
    return Prepared(spec=pinned, inputs=inputs)


def submit_run(
    session: Session,
    context: ProjectContext,
    experiment: Experiment,
    *,
    name: str | None,
    priority: int,
) -> Task:
    """Queue a training of a locked experiment as it is configured now.

    Raises:
        NotFound, ModelNotReady, NothingToLearn: see :func:`prepare`.
    """
    prepared = prepare(session, context, TrainingSpec.model_validate(experiment.config))
    number = queries.count_runs(session, experiment) + 1
    task = submit(
        session,
        context,
        prepared.spec,
        name=name or f"{experiment.name} #{number}",
        priority=priority,
        experiment_id=experiment.id,
        inputs=prepared.inputs,
    )
    experiment.status = ExperimentStatus.PENDING.value
    session.flush()
    return task


def follow(session: Session, task: Task, status: ExperimentStatus) -> Experiment | None:
    """Let the experiment show the state of its latest run. Returns it, locked."""
    experiment = queries.lock_asked_by(session, task.experiment_id)
    if experiment is not None and queries.latest_run(session, experiment) == task.id:
        experiment.status = status.value
        session.flush()
    return experiment


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Register what was made, and sum the run up in its experiment.

    Raises:
        NothingMade: when a success left no weights.
    """
    experiment = follow(session, task, STATUS_AFTER[outcome.status])
    # A project that was deleted meanwhile takes its work with it: without one, what was tuned on
    # its data would be registered as shared by all.
    if outcome.status is not TaskStatus.COMPLETED or task.project_id is None:
        return
    model = _register(session, task, task.project_id, outcome)
    if experiment is not None:
        run = {"task": str(task.uuid), "name": task.name, "model": str(model.uuid)}
        figures = summary_of(jsonable(outcome.result))
        experiment.metrics = with_run(experiment.metrics, {**run, **figures})
    session.flush()


def _register(session: Session, task: Task, project_id: int, outcome: Outcome) -> Model:
    if not any(file.path.startswith(WEIGHTS) for file in outcome.files):
        raise NothingMade(f"the training left no {WEIGHTS} in its output")
    spec = TrainingSpec.model_validate(task.config)
    result = jsonable(outcome.result)
    inputs = {item.role: item for item in queries.inputs_of(session, task)}
    files: list[StoredFile] = outcome.files
    model = registry.register_tuned(
        session,
        task,
        project_id=project_id,
        name=spec.output_name,
        base_model_id=inputs[BASE_MODEL].model_id,
        files=files,
        card=_card(spec, result, inputs),
        metrics={"training": summary_of(result)},
        experiment_id=task.experiment_id,
        created_by=task.scheduling.created_by,
    )
    task.model_id = model.id
    label = f"{model.name}@{model.version}"
    notify_user(
        session,
        task.scheduling.created_by,
        "model_registered",
        f"{label}: registered",
        f"The model {label} was tuned from {inputs[BASE_MODEL].label} and is ready.",
        project=queries.project_uuid(session, project_id),
        model=model.uuid,
        task=task.uuid,
    )
    return model


def _card(spec: TrainingSpec, result: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """What a model must say of itself: from which data, how, how well, by which software."""
    read = {
        role: {"label": item.label, "sha256": item.content_hash} for role, item in inputs.items()
    }
    return {
        "base_model": {"uuid": str(spec.base_model), **read[BASE_MODEL]},
        "dataset": {"uuid": str(spec.dataset.dataset), **read[DATASET]},
        "eval_dataset": None
        if spec.eval_dataset is None
        else {"uuid": str(spec.eval_dataset.dataset), **read[EVAL_DATASET]},
        "config": spec.model_dump(mode="json"),
        "metrics": summary_of(result),
        "versions": result.get("versions", {}),
    }

"""Runs of experiments: queueing one, following its state, registering what it has made."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import ExperimentStatus, TaskStatus, TaskType
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.references import After
from aiplatform.protocol.specs import TrainingSpec
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.statements import all_of, compiled
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.service.gates import require_passed
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.errors import (
    ExecutesElsewhere,
    ExperimentArchived,
    NotRepeatable,
)
from aiplatform.server.experiments.models import Experiment, RunDetails
from aiplatform.server.experiments.rules import STATUS_AFTER, few_of, summary_of, with_run
from aiplatform.server.experiments.service.figures import keep_figures
from aiplatform.server.experiments.service.inputs import (
    DATASET,
    EVAL_DATASET,
    base_model,
    pinned_rows,
    require_answers,
)
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model
from aiplatform.server.tasks.models import Task, TaskInput
from aiplatform.server.tasks.service import require_readable, submit
from aiplatform.server.tasks.service.kinds import InputRef, Outcome, Prepared
from aiplatform.server.tasks.service.summaries import metrics_of

WEIGHTS = "weights/"


class NothingMade(Exception):
    """A training said that it succeeded and left no model."""


def prepare(session: Session, context: ProjectContext, spec: TrainingSpec) -> Prepared:
    """Check what a training names, and pin the versions that it will read.

    Raises:
        NotFound: for a model or dataset that the project may not use.
        ModelNotReady, NothingToLearn, PreferencesNotTaught: see there.
    """
    _, base = base_model(session, context, spec.base_model)
    dataset, rows = pinned_rows(session, context, spec.dataset, DATASET)
    require_answers(session, rows, spec.method)
    inputs = [base, rows]
    held_out = spec.eval_dataset
    if held_out is not None:
        held_out, held_out_rows = pinned_rows(session, context, held_out, EVAL_DATASET)
        require_answers(session, held_out_rows, spec.method)
        inputs.append(held_out_rows)
    pinned = spec.model_copy(update={"dataset": dataset, "eval_dataset": held_out})
    return Prepared(spec=pinned, inputs=inputs)


def require_reference(
    session: Session, context: ProjectContext, spec: TrainingSpec, path: str
) -> None:
    """Check what the field at ``path`` of a training's config refers to, if it refers to anything.

    Raises:
        NotFound, ModelNotReady, NothingToLearn, PreferencesNotTaught: see :func:`prepare`.
    """
    field = path.partition(".")[0]
    if field == "base_model":
        base_model(session, context, spec.base_model)
    elif field in {DATASET, EVAL_DATASET}:
        ref = spec.dataset if field == DATASET else spec.eval_dataset
        if ref is not None:
            _, rows = pinned_rows(session, context, ref, field)
            require_answers(session, rows, spec.method)


def submit_run(
    session: Session,
    context: ProjectContext,
    experiment: Experiment,
    *,
    name: str | None,
    priority: int,
    override_gate: str | None = None,
    config: TrainingSpec | None = None,
    git: dict[str, Any] | None = None,
    rerun_of: Task | None = None,
    after: Sequence[After] = (),
) -> Task:
    """Queue a training of a locked experiment as it is configured now.

    Args:
        override_gate: why it is trained although the data fails the project's gate.
        config: what is trained in place of the experiment's config.
        git: the state of the caller's source code.
        rerun_of: the run that is done once more.
        after: what must end first; locked already, since tasks are locked before experiments.

    Raises:
        ExperimentArchived: for one in the archive.
        PermissionDenied: when the caller may not read what it trains on.
        NotFound, ModelNotReady, NothingToLearn: see :func:`prepare`.
        GateFailed, QuotaExceeded: see :func:`require_trainable`.
    """
    if queries.details_of(session, experiment).archived_at is not None:
        raise ExperimentArchived(name=experiment.name)
    spec = config or TrainingSpec.model_validate(experiment.config)
    require_readable(context, spec)
    prepared = prepare(session, context, spec)
    if rerun_of is not None:
        _require_same_inputs(queries.inputs_of(session, rerun_of), prepared.inputs)
    require_trainable(session, context, prepared.inputs, override_gate=override_gate)
    number = queries.count_runs(session, experiment) + 1
    task = submit(
        session,
        context,
        prepared.spec,
        name=name or f"{experiment.name} #{number}",
        priority=priority,
        experiment_id=experiment.id,
        inputs=prepared.inputs,
        after=after,
    )
    experiment.status = ExperimentStatus.PENDING.value
    details = queries.run_details(session, task.id)
    if details is not None:
        details.rerun_of = None if rerun_of is None else rerun_of.id
        if git is not None:
            details.record = {"git": git}
    session.flush()
    return task


def rerun(
    session: Session,
    context: ProjectContext,
    task: Task,
    *,
    name: str | None,
    priority: int,
    override_gate: str | None = None,
) -> Task:
    """Queue once more what a run was: its config, versions and seed, whatever the experiment says.

    On the same machine with the same packages it gives the same loss curve.

    Raises:
        ExecutesElsewhere: for a run that was only reported.
        NotFound: when its experiment, or something that it read, is gone.
        NotRepeatable: when something that it read has other content by now.
        ExperimentArchived, GateFailed, QuotaExceeded: see :func:`submit_run`.
    """
    if task.type != TaskType.TRAINING:
        raise ExecutesElsewhere(name=task.name)
    experiment = queries.lock_asked_by(session, task.experiment_id)
    if experiment is None:
        raise NotFound(resource="experiment")
    told = queries.run_details(session, task.id)
    return submit_run(
        session,
        context,
        experiment,
        name=name or f"{task.name} (rerun)"[:255],
        priority=priority,
        override_gate=override_gate,
        config=TrainingSpec.model_validate(task.config),
        git=None if told is None else told.record.get("git"),
        rerun_of=task,
    )


def _require_same_inputs(before: Iterable[TaskInput], now: Iterable[InputRef]) -> None:
    found = {item.role: item.content_hash for item in now}
    for item in before:
        if item.content_hash != found.get(item.role):
            raise NotRepeatable(
                input=item.label,
                before=item.content_hash or "-",
                now=found.get(item.role) or "-",
            )


def take_over(session: Session, task: Task, again: Task) -> None:
    """A retry trains with the code that the run was queued with, and repeats what that repeated."""
    before, details = (queries.run_details(session, each.id) for each in (task, again))
    if before is None or details is None:
        return
    details.rerun_of = before.rerun_of
    if "git" in before.record:
        details.record = {"git": before.record["git"]}


def prepare_retry(
    session: Session, context: ProjectContext, task: Task, *, override_gate: str | None = None
) -> None:
    """Have a failed training's experiment wait for one more, which is its config as it was then.

    A reason that was given against the gate for the first does not count for this one.

    Raises:
        ExperimentArchived: for one in the archive.
        GateFailed, QuotaExceeded: see :func:`require_trainable`.
    """
    experiment = queries.lock_asked_by(session, task.experiment_id)
    if experiment is not None:
        if queries.details_of(session, experiment).archived_at is not None:
            raise ExperimentArchived(name=experiment.name)
        experiment.status = ExperimentStatus.PENDING.value
    inputs = queries.inputs_of(session, task)
    require_trainable(session, context, inputs, override_gate=override_gate)


def require_trainable(
    session: Session,
    context: ProjectContext,
    inputs: Iterable[InputRef | TaskInput],
    *,
    override_gate: str | None = None,
) -> None:
    """Refuse a training, the first or one more, that must not begin.

    Raises:
        GateFailed: the data fails the gate and no reason is given.
        QuotaExceeded: when the project has no storage left. What a run has made is kept at any
            price, so it must not begin then.
    """
    quotas.foresee_storage(session, context.project_id, 0)
    read = {item.role: item for item in inputs if item.dataset_version_id is not None}
    rows, held_out = read.get(DATASET), read.get(EVAL_DATASET)
    if rows is not None and rows.dataset_version_id is not None:
        require_passed(
            session,
            context,
            rows.dataset_version_id,
            rows.label,
            override=override_gate,
            held_out=None if held_out is None else held_out.dataset_version_id,
        )


def follow(session: Session, task: Task, status: ExperimentStatus) -> Experiment | None:
    """Let the experiment show the state of its latest run. Returns it, locked."""
    experiment = queries.lock_asked_by(session, task.experiment_id)
    if experiment is not None and queries.latest_run(session, experiment) == task.id:
        experiment.status = status.value
        session.flush()
    return experiment


_LOCK_OF_TASK = compiled(
    text(
        "SELECT FROM experiments e JOIN tasks t ON t.experiment_id = e.id "
        "WHERE t.id = :task_id FOR NO KEY UPDATE OF e"
    )
)
_RUNS = compiled(
    text("""
UPDATE experiments AS e SET status = :running, updated_at = clock_timestamp()
FROM tasks t
WHERE t.id = :task_id AND e.id = t.experiment_id AND e.status IS DISTINCT FROM :running
    AND t.id = (SELECT max(id) FROM tasks WHERE experiment_id = e.id AND type = :training)
RETURNING e.id
""")
)


def show_running(session: Session, task_id: int) -> None:
    """Let the experiment that a task belongs to run, if the task is its newest training.

    Plain statements: this is part of a claim. What is newest is read under the lock.
    """
    mine = {"task_id": task_id}
    runs = {"running": ExperimentStatus.RUNNING.value, "training": TaskType.TRAINING.value}
    all_of(session, (_LOCK_OF_TASK, mine), (_RUNS, mine | runs))


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Register what was made, and sum the run up in its experiment.

    Raises:
        NothingMade: when a success left no weights.
    """
    experiment = follow(session, task, STATUS_AFTER[outcome.status])
    keep_figures(session, task, summary_of(jsonable(outcome.result)))
    _keep_environment(session, task)
    # A project that was deleted meanwhile takes its work with it: without one, what was tuned on
    # its data would be registered as shared by all.
    if outcome.status is not TaskStatus.COMPLETED or task.project_id is None:
        return
    metrics = metrics_of(session, task)
    model = _register(session, task, task.project_id, outcome, metrics)
    if experiment is not None:
        run: dict[str, Any] = {
            "task": str(task.uuid),
            "name": task.name,
            "model": str(model.uuid),
        }
        figures = summary_of(jsonable(outcome.result))
        run |= {"metrics": few_of(metrics)} if metrics else {}
        experiment.metrics = with_run(experiment.metrics, {**run, **figures})
    session.flush()


def _keep_environment(session: Session, task: Task) -> None:
    """Store in the run's record what its last attempt said of machine and software."""
    details = queries.run_details(session, task.id)
    environment = queries.environment_of(session, task.id)
    if details is not None and environment:
        details.record = {**details.record, "environment": environment}
        session.flush()


def _register(
    session: Session, task: Task, project_id: int, outcome: Outcome, metrics: dict[str, Any]
) -> Model:
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
        base_model_id=inputs[registry.BASE_MODEL].model_id,
        files=files,
        card=_card(spec, result, inputs, queries.run_details(session, task.id)),
        metrics={"training": summary_of(result)} | ({"series": metrics} if metrics else {}),
        experiment_id=task.experiment_id,
        created_by=task.scheduling.created_by,
    )
    task.model_id = model.id
    label = f"{model.name}@{model.version}"
    announce(
        session,
        NotificationType.MODEL_REGISTERED,
        to=[task.scheduling.created_by],
        project=queries.project_uuid(session, project_id),
        name=label,
        base_model=inputs[registry.BASE_MODEL].label,
        model=model.uuid,
        task=task.uuid,
    )
    return model


def _card(
    spec: TrainingSpec, result: dict[str, Any], inputs: dict[str, Any], run: RunDetails | None
) -> dict[str, Any]:
    """What a model must say of itself: from which data, how, how well, by which software."""
    read = {
        role: {"label": item.label, "sha256": item.content_hash} for role, item in inputs.items()
    }
    return {
        "base_model": {"uuid": str(spec.base_model), **read[registry.BASE_MODEL]},
        "dataset": {"uuid": str(spec.dataset.dataset), **read[DATASET]},
        "eval_dataset": None
        if spec.eval_dataset is None
        else {"uuid": str(spec.eval_dataset.dataset), **read[EVAL_DATASET]},
        "config": spec.model_dump(mode="json"),
        "metrics": summary_of(result),
        "versions": result.get("versions", {}),
        "reproducibility": {
            "seed": spec.seed,
            "git": None if run is None else run.record.get("git"),
            "environment": None if run is None else run.record.get("environment"),
        },
    }

"""Training and external runs: queue a run, update its experiment, and register its model."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.data.json_schemas import compile_schema
from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import ExperimentStatus, TaskStatus, TaskType
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.references import After, DatasetRef
from aiplatform.protocol.rewards import JsonSchemaReward, reward_labels
from aiplatform.protocol.trainings import AnyTraining, GrpoSpec, TrainingSpec, parse_training
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.statements import compiled, fetch_all
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets import queries as datasets_queries
from aiplatform.server.datasets import service as datasets
from aiplatform.server.datasets.service.gates import require_passed
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.errors import (
    DatasetNotTrainable,
    ExperimentArchived,
    ExternalRunNotRerunnable,
    NotRepeatable,
    RewardInvalid,
)
from aiplatform.server.experiments.models import Experiment, RunDetails
from aiplatform.server.experiments.rules import (
    STATUS_AFTER,
    advice_for,
    figures_of,
    first_series,
    summary_of,
    with_run,
)
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service import require_readable, submit
from aiplatform.server.queue.service.kinds import InputRef, Inputs, Outcome, Prepared
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model
from aiplatform.server.telemetry.service.charts import summarise_metrics


def store_metrics(session: Session, task: Task, figures: Mapping[str, Any]) -> None:
    """Store the last value of each series of an ended run, and the metrics in its result."""
    details = queries.run_details(session, task.id)
    if details is not None:
        details.metrics = {**jsonable(queries.last_values(session, task.id)), **figures}
        session.flush()


DATASET = "dataset"
EVAL_DATASET = "eval_dataset"


def pin_rows(
    session: Session, context: ProjectContext, ref: DatasetRef, role: str, spec: TrainingSpec
) -> tuple[DatasetRef, InputRef]:
    """Return a dataset reference with an exact version, and the corresponding task input.

    Raises:
        NotFound: the project has no such dataset or version.
        DatasetNotTrainable: the method can't learn from its rows. The message says what to do.
    """
    pinned, item = datasets.pinned_input(session, context, ref, role)
    shape = queries.shape_of(session, item.dataset_version_id)
    shapes = spec.shapes_of(role)
    if shape not in shapes:
        advice = advice_for(
            spec.method,
            shape,
            dataset=item.label.partition("@")[0],
            columns=queries.columns_of(session, item.dataset_version_id),
        )
        raise DatasetNotTrainable(
            dataset=item.label,
            shape=shape,
            method=spec.method.value,
            shapes=", ".join(sorted(shapes)),
            shapes_zh="、".join(sorted(shapes)),
            advice=advice.en,
            advice_zh=advice.zh,
        )
    return pinned, item


def base_model(
    session: Session, context: ProjectContext, spec: TrainingSpec
) -> tuple[Model, InputRef]:
    """Return the model that a training run tunes, and the corresponding task input.

    Raises:
        NotFound, ModelNotReady, ModelNotTunable: see ``registry.service.tunable_model``.
    """
    model = registry.tunable_model(session, context, spec.base_model, spec.method)
    return model, registry.input_ref(session, model, registry.BASE_MODEL)


def task_inputs(session: Session, task: Task) -> Inputs:
    """Return the files of a task's inputs.

    Raises:
        NotFound: an input has since been deleted.
    """
    inputs = Inputs()
    for item in queries.inputs_of(session, task):
        if item.dataset_version_id is not None:
            file = datasets_queries.rows_file(session, item.dataset_version_id)
            if file is None:
                raise NotFound(resource="dataset version")
            inputs.single[item.role] = file
        elif item.model_id is not None:
            model = session.get_one(Model, item.model_id)
            inputs.trees[item.role] = registry_queries.files(session, model)
        else:
            raise NotFound(resource=item.role)
    return inputs


WEIGHTS = "weights/"


class NoModelProduced(Exception):
    """The training task reported success but left no model."""


def prepare(session: Session, context: ProjectContext, spec: AnyTraining) -> Prepared:
    """Check a training task's data and models, and choose their exact versions.

    Raises:
        NotFound: the project may not use a model or dataset.
        ModelNotReady: the base model's files are not complete.
        ModelNotTunable: the method can't tune such a model.
        DatasetNotTrainable: a dataset is unsuitable.
        RewardInvalid: the JSON Schema of a reward is invalid.
    """
    require_usable_rewards(spec)
    model, base = base_model(session, context, spec)
    inputs = [base]
    pinned: dict[str, Any] = {"base_model": model.uuid}
    for role, ref in spec.datasets().items():
        pinned[role], rows = pin_rows(session, context, ref, role, spec)
        inputs.append(rows)
    return Prepared(spec=spec.model_copy(update=pinned), inputs=inputs)


def require_usable_rewards(spec: TrainingSpec) -> None:
    """Check the JSON Schemas of a training spec's rewards, which ``protocol`` can't check.

    Raises:
        RewardInvalid: one of them is invalid, or refers to another document.
    """
    if not isinstance(spec, GrpoSpec):
        return
    for reward, label in zip(spec.rewards, reward_labels(spec.rewards), strict=True):
        if isinstance(reward, JsonSchemaReward):
            try:
                compile_schema(reward.json_schema)
            except ValueError as error:
                raise RewardInvalid(reward=label, reason=str(error)[:300]) from None


def require_reference(
    session: Session, context: ProjectContext, spec: TrainingSpec, path: str
) -> None:
    """Check the dataset or model in the field at ``path`` of a config; do nothing for other fields.

    Raises:
        NotFound, ModelNotReady, ModelNotTunable, DatasetNotTrainable: see :func:`prepare`.
    """
    field = path.partition(".")[0]
    if field == "base_model":
        base_model(session, context, spec)
    elif (ref := spec.datasets().get(field)) is not None:
        pin_rows(session, context, ref, field, spec)


def submit_run(
    session: Session,
    context: ProjectContext,
    experiment: Experiment,
    *,
    name: str | None,
    priority: int,
    override_gate: str | None = None,
    config: AnyTraining | None = None,
    git: dict[str, Any] | None = None,
    rerun_of: Task | None = None,
    after: Sequence[After] = (),
) -> Task:
    """Queue a training run of a locked experiment with its current config.

    Args:
        session: the caller's session; not committed here.
        context: the project, and what the caller may do in it.
        experiment: the locked experiment.
        name: name of the run; by default the experiment's name with a number.
        priority: priority of the task, from 1 to 10; higher ones run first.
        override_gate: reason for training although the data fails the quality gate.
        config: config to use instead of the experiment's.
        git: state of the caller's source code.
        rerun_of: the run that this one repeats.
        after: tasks that must end first. The caller has locked them, because tasks are locked
            before experiments.

    Raises:
        ExperimentArchived: the experiment is archived.
        PermissionDenied: the caller may not read the training data.
        NotRepeatable: an input of ``rerun_of`` has changed.
        NotFound, ModelNotReady, DatasetNotTrainable: see :func:`prepare`.
        GateFailed, QuotaExceeded: see :func:`require_trainable`.
    """
    if queries.details_of(session, experiment).archived_at is not None:
        raise ExperimentArchived(name=experiment.name)
    spec = config or parse_training(experiment.config)
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
    """Queue a run again with its own config, dataset versions and seed.

    On the same machine with the same packages, this gives the same loss curve.

    Raises:
        ExternalRunNotRerunnable: the run is an external run.
        NotFound: its experiment, or one of its inputs, was deleted.
        NotRepeatable: the content of an input has changed.
        ExperimentArchived, GateFailed, QuotaExceeded: see :func:`submit_run`.
    """
    if task.type != TaskType.TRAINING:
        raise ExternalRunNotRerunnable(name=task.name)
    experiment = queries.lock_experiment_by_id(session, task.experiment_id)
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
        config=parse_training(task.config),
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


def copy_to_retry(session: Session, task: Task, again: Task) -> None:
    """Copy the git state and ``rerun_of`` of a failed run to its retry."""
    before, details = (queries.run_details(session, each.id) for each in (task, again))
    if before is None or details is None:
        return
    details.rerun_of = before.rerun_of
    if "git" in before.record:
        details.record = {"git": before.record["git"]}


def prepare_retry(
    session: Session, context: ProjectContext, task: Task, *, override_gate: str | None = None
) -> None:
    """Prepare a failed training task and its experiment for a retry with the same config.

    If the quality gate was overridden for the failed run, the retry needs its own reason.

    Raises:
        ExperimentArchived: the experiment is archived.
        GateFailed, QuotaExceeded: see :func:`require_trainable`.
    """
    experiment = queries.lock_experiment_by_id(session, task.experiment_id)
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
    """Refuse a training task, or its retry, that must not start.

    Raises:
        GateFailed: the data fails the quality gate, and no reason to override it is given.
        QuotaExceeded: the project has no storage left. The result of training is stored even beyond
            the quota, so the task must not start in that case.
    """
    quotas.check_storage_available(session, context.project_id, 0)
    read = {item.role: item for item in inputs if item.dataset_version_id is not None}
    held_out = read.pop(EVAL_DATASET, None)
    for rows in read.values():
        if rows.dataset_version_id is not None:
            require_passed(
                session,
                context,
                rows.dataset_version_id,
                rows.label,
                override=override_gate,
                held_out=None if held_out is None else held_out.dataset_version_id,
            )


def update_status(session: Session, task: Task, status: ExperimentStatus) -> Experiment | None:
    """Lock and return a run's experiment; set its status if the run is the experiment's latest."""
    experiment = queries.lock_experiment_by_id(session, task.experiment_id)
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


def set_running(session: Session, task_id: int) -> None:
    """Set a training task's experiment to running, unless a newer training task exists.

    This uses plain SQL, because it is part of claiming a task. The second statement runs under the
    lock of the first, so it sees the newest training task.
    """
    mine = {"task_id": task_id}
    runs = {"running": ExperimentStatus.RUNNING.value, "training": TaskType.TRAINING.value}
    fetch_all(session, (_LOCK_OF_TASK, mine), (_RUNS, mine | runs))


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Register the model of an ended training task, and summarise the run in its experiment.

    Raises:
        NoModelProduced: the task succeeded but left no weights.
    """
    experiment = update_status(session, task, STATUS_AFTER[outcome.status])
    store_metrics(session, task, summary_of(jsonable(outcome.result)))
    _store_environment(session, task)
    # If the project was deleted in the meantime, its result is discarded. A model without a project
    # would be shared with all projects, although it was tuned on private data.
    if outcome.status is not TaskStatus.COMPLETED or task.project_id is None:
        return
    metrics = summarise_metrics(session, task)
    model = _register(session, task, task.project_id, outcome, metrics)
    if experiment is not None:
        run: dict[str, Any] = {
            "task": str(task.uuid),
            "name": task.name,
            "model": str(model.uuid),
        }
        figures = summary_of(jsonable(outcome.result))
        run |= {"metrics": first_series(metrics)} if metrics else {}
        experiment.metrics = with_run(experiment.metrics, {**run, **figures})
    session.flush()


def _store_environment(session: Session, task: Task) -> None:
    """Store the environment reported by the run's last attempt in the run's record."""
    details = queries.run_details(session, task.id)
    environment = queries.environment_of(session, task.id)
    if details is not None and environment:
        details.record = {**details.record, "environment": environment}
        session.flush()


def _register(
    session: Session, task: Task, project_id: int, outcome: Outcome, metrics: dict[str, Any]
) -> Model:
    if not any(file.path.startswith(WEIGHTS) for file in outcome.files):
        raise NoModelProduced(f"the training left no {WEIGHTS} in its output")
    spec = parse_training(task.config)
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
        project=projects_queries.uuid_of(session, project_id),
        name=label,
        base_model=inputs[registry.BASE_MODEL].label,
        model=model.uuid,
        task=task.uuid,
    )
    return model


def _card(
    spec: TrainingSpec, result: dict[str, Any], inputs: dict[str, Any], run: RunDetails | None
) -> dict[str, Any]:
    """Return the model card as data: training data, config, metrics, software versions and seed."""
    read = {
        role: {"label": item.label, "sha256": item.content_hash} for role, item in inputs.items()
    }
    return {
        "base_model": {"uuid": str(spec.base_model), **read[registry.BASE_MODEL]},
        EVAL_DATASET: None,
        **{role: {"uuid": str(ref.dataset), **read[role]} for role, ref in spec.datasets().items()},
        "config": spec.model_dump(mode="json"),
        "metrics": summary_of(result),
        **({"labels": result["labels"]} if "labels" in result else {}),
        "versions": result.get("versions", {}),
        "reproducibility": {
            "seed": spec.seed,
            "git": None if run is None else run.record.get("git"),
            "environment": None if run is None else run.record.get("environment"),
        },
    }


def conclude_external_run(session: Session, task: Task, outcome: Outcome) -> None:
    """Store the metrics of an external run that has ended.

    They are stored for searches, in the task's result and, if the run succeeded, in its experiment.
    """
    store_metrics(session, task, figures_of(jsonable(outcome.result)))
    metrics = summarise_metrics(session, task)
    if not metrics:
        return
    task.scheduling.result = {**(task.scheduling.result or {}), "metrics": metrics}
    experiment = queries.lock_experiment_by_id(session, task.experiment_id)
    if experiment is not None and outcome.status is TaskStatus.COMPLETED:
        run = {"task": str(task.uuid), "name": task.name, "metrics": first_series(metrics)}
        figures = {
            name: metrics[key]["last"]
            for name, key in (("eval_loss", "eval_loss"), ("train_loss_last", "loss"))
            if key in metrics
        }
        experiment.metrics = with_run(experiment.metrics, {**run, **figures})
    session.flush()

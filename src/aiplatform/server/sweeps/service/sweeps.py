"""Functions that create, advance and cancel sweeps, and register the best trial's model."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.messages import Metrics
from aiplatform.protocol.sweeps import Asha, Choice, SweepSpec, SweepStatus, TrialState
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.broker import CHORES, send
from aiplatform.server.core.database import after_commit
from aiplatform.server.core.errors import NameTaken, Problem
from aiplatform.server.experiments import queries as experiments_queries
from aiplatform.server.experiments import service as experiments
from aiplatform.server.experiments.errors import (
    ConfigInvalid,
    ExperimentArchived,
    ExperimentBusy,
)
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import require_readable
from aiplatform.server.registry.models import Model
from aiplatform.server.registry.service import register_again
from aiplatform.server.secrets.service import require_usable
from aiplatform.server.sweeps import queries
from aiplatform.server.sweeps.errors import (
    EvalDatasetMissing,
    EvalStepsMissing,
    GridTooLarge,
    InvalidSweepValue,
    NoBestModel,
    SweepEnded,
)
from aiplatform.server.sweeps.models import Sweep
from aiplatform.server.sweeps.rules import (
    first_point,
    grid_size,
    held_out_figure,
    is_held_out,
    rung_steps,
)
from aiplatform.server.sweeps.service.next_step import best_of

ADVANCE = "aiplatform.sweeps.advance"
"""Name of the Celery task that does a sweep's next step; see ``sweeps/jobs.py``."""


def advance_soon(session: Session, sweep_id: int) -> None:
    """Ask a worker to do the sweep's next step. The message is sent after the commit."""
    after_commit(session, lambda: send(ADVANCE, CHORES, sweep_id=sweep_id))


def on_task_halt(session: Session, task: Task) -> None:
    """Advance the sweep if a task that has ended or paused is one of its trials."""
    if task.type != TaskType.TRAINING:
        return
    sweep_id = queries.sweep_of(session, task.id)
    if sweep_id is not None:
        advance_soon(session, sweep_id)


def on_task_metrics(session: Session, task: Task, metrics: Sequence[Metrics]) -> None:
    """Advance the sweep if a task is one of its trials and has measured a value at a rung."""
    if task.type != TaskType.TRAINING:
        return
    pruned = queries.pruning_of(session, task.id)
    if pruned is None:
        return
    asha = Asha.model_validate(pruned.pruning)
    rung = rung_steps(asha, pruned.passed)
    if any(asha.series in point.values and point.step >= rung for point in metrics):
        advance_soon(session, pruned.sweep_id)


GRID_LIMIT = 500


def create_sweep(session: Session, context: ProjectContext, *, name: str, spec: SweepSpec) -> Sweep:
    """Create a sweep. A worker queues its first trials after the commit.

    Raises:
        NameTaken: the project has a sweep with this name.
        NotFound: the project has no such experiment.
        ExperimentArchived: the experiment is archived.
        PriorityTooHigh: the priority of the trials is above the project's limit.
        GridTooLarge: the grid has too many points.
        ConfigInvalid: the parameters do not belong to the experiment's config.
        InvalidSweepValue: a value can't be used in any training run, for example the uuid of a
            dataset or model that the project may not use.
        EvalDatasetMissing: the objective or pruning metric needs an eval_dataset, but there is
            none.
        EvalStepsMissing: the pruning metric is measured on an eval_dataset only at the end of runs.
    """
    if queries.name_in_use(session, context, name):
        raise NameTaken(resource="sweep", name=name)
    experiment = experiments_queries.get_experiment(session, context, spec.experiment)
    if experiments_queries.details_of(session, experiment).archived_at is not None:
        raise ExperimentArchived(name=experiment.name)
    quotas.require_priority(session, context.project_id, spec.priority)
    if spec.method == "grid":
        size = grid_size(spec)
        if size > GRID_LIMIT:
            raise GridTooLarge(size=size, limit=GRID_LIMIT)
        spec = spec.model_copy(update={"max_trials": min(size, spec.max_trials)})
    _require_values(experiment, spec)
    # This refuses parameters that the config does not have.
    config = experiments.changed_config(experiment.config, first_point(spec))
    require_readable(context, config)
    if config.secrets:
        require_usable(session, context, config.secrets)
    _require_references(session, context, experiment, spec)
    figure = held_out_figure(spec)
    if figure is not None and config.eval_dataset is None:
        raise EvalDatasetMissing(experiment=experiment.name, figure=figure)
    pruning = spec.pruning
    if pruning is not None and is_held_out(pruning.series) and config.eval_steps is None:
        raise EvalStepsMissing(
            experiment=experiment.name, series=pruning.series, min_steps=pruning.min_steps
        )
    sweep = Sweep(
        project_id=context.project_id,
        experiment_id=experiment.id,
        name=clean_text(name),
        spec=jsonable(spec),
        status=SweepStatus.RUNNING.value,
        created_by=context.principal.user_id,
        key_id=context.principal.key_id,
    )
    session.add(sweep)
    session.flush()
    session.refresh(sweep)
    audit.record(
        session,
        context.actor,
        AuditAction.SWEEP_CREATED,
        "sweep",
        sweep.uuid,
        project=context.project_uuid,
        name=sweep.name,
        experiment=experiment.uuid,
        method=spec.method,
    )
    advance_soon(session, sweep.id)
    return sweep


def _require_values(experiment: Experiment, spec: SweepSpec) -> None:
    """Validate each value of each parameter together with the first values of the others.

    Other combinations of values are only validated when their trial starts.

    Raises:
        InvalidSweepValue: see :func:`create_sweep`.
    """
    first = first_point(spec)
    for path, value in _values(spec):
        try:
            experiments.changed_config(experiment.config, {**first, path: value})
        except ConfigInvalid as problem:
            # An unknown field is reported for the whole config, not for a value.
            if problem.params["where"] == path and problem.params["kind"] != "unknown_field":
                said, said_zh = (problem.params[key] for key in ("reason", "reason_zh"))
                raise _refused(path, value, f"{said}.", f"{said_zh}。") from problem


def _require_references(
    session: Session, context: ProjectContext, experiment: Experiment, spec: SweepSpec
) -> None:
    """Look up every dataset, version and model that is a parameter's value.

    Raises:
        InvalidSweepValue: see :func:`create_sweep`.
    """
    first = first_point(spec)
    for path, value in _values(spec):
        config = experiments.changed_config(experiment.config, {**first, path: value})
        try:
            experiments.require_reference(session, context, config, path)
        except Problem as problem:
            raise _refused(path, value, problem.text("en"), problem.text("zh")) from problem


def _refused(path: str, value: object, reason: str, reason_zh: str) -> InvalidSweepValue:
    return InvalidSweepValue(
        parameter=path, value=str(value)[:200], reason=reason, reason_zh=reason_zh
    )


def _values(spec: SweepSpec) -> Iterator[tuple[str, Any]]:
    """Yield each value of each choice, and both ends of each range, with the parameter's path."""
    for path, parameter in spec.parameters.items():
        if isinstance(parameter, Choice):
            yield from ((path, value) for value in parameter.values)
        else:
            yield from ((path, value) for value in (parameter.low, parameter.high))


def check_experiment_deletion(session: Session, experiment: Experiment) -> dict[str, Any]:
    """Refuse to delete an experiment with a running sweep; otherwise return details for the audit.

    Raises:
        ExperimentBusy: a sweep of the experiment has not ended.
    """
    sweeps = queries.sweeps_of(session, experiment)
    for sweep in sweeps:
        if sweep.status == SweepStatus.RUNNING:
            raise ExperimentBusy(resource="sweep", name=sweep.name)
    if not sweeps:
        return {}
    return {"sweeps": [{"uuid": sweep.uuid, "name": sweep.name} for sweep in sweeps]}


def cancel_sweep(session: Session, context: ProjectContext, uuid: UUID) -> Sweep:
    """Cancel a sweep: start no more trials, and stop the running ones. Results are kept.

    Raises:
        NotFound: the project has no such sweep.
        SweepEnded: the sweep has already ended.
    """
    sweep = queries.lock_sweep(session, context, uuid)
    if sweep.status != SweepStatus.RUNNING:
        raise SweepEnded(sweep_status=sweep.status)
    _cancel(session, context.actor, sweep, context.project_uuid)
    session.flush()
    session.refresh(sweep)
    return sweep


def stop_author_sweeps(session: Session, actor: Actor, author: User) -> dict[str, int]:
    """Cancel the sweeps of an author in all projects.

    Return a dict with their number as ``sweeps_stopped``.
    """
    sweeps = queries.lock_running_of(session, author.id)
    for sweep in sweeps:
        _cancel(session, actor, sweep, queries.project_uuid(session, sweep))
    session.flush()
    return {"sweeps_stopped": len(sweeps)}


def _cancel(session: Session, actor: Actor, sweep: Sweep, project: UUID) -> None:
    sweep.status = SweepStatus.CANCELLED.value
    sweep.ended_at = func.clock_timestamp()
    for trial in queries.trials(session, sweep):
        if TrialState(trial.state).is_active:
            trial.state = TrialState.CANCELLED.value
    audit.record(
        session,
        actor,
        AuditAction.SWEEP_CANCELLED,
        "sweep",
        sweep.uuid,
        project=project,
        name=sweep.name,
    )
    advance_soon(session, sweep.id)


def register_best(
    session: Session, context: ProjectContext, uuid: UUID, *, name: str
) -> tuple[Model, bool]:
    """Register the model of the sweep's best trial as the next version of ``name``.

    If it is already registered under that name, it is returned unchanged. Return the model, and
    True if it is new. A running sweep may later find a better model, which becomes another version.

    Raises:
        NotFound: the project has no such sweep.
        NoBestModel: no trial has succeeded, or the best trial's model was deleted.
    """
    # Lock the sweep, so that the second of two simultaneous requests finds the first one's model.
    sweep = queries.lock_sweep(session, context, uuid)
    best = best_of(SweepSpec.model_validate(sweep.spec), queries.trials(session, sweep))
    model = None if best is None else queries.model_of(session, context, best)
    if model is None:
        raise NoBestModel(sweep=sweep.name)
    return register_again(session, context, model, name=name)

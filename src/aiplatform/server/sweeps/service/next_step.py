"""The next step of a sweep: collect results, compare trials at rungs, start new trials.

All state is in rows that are written under the sweep's lock, so nothing is lost when a worker dies.
The requests to tasks (cancel, pause, resume) are derived from the states of their trials, and are
repeated until the tasks have fulfilled them.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.sweeps import (
    Asha,
    Choice,
    FloatRange,
    IntRange,
    Params,
    SweepSpec,
    SweepStatus,
    TrialState,
)
from aiplatform.server.core import audit
from aiplatform.server.core.errors import Problem
from aiplatform.server.experiments import service as experiments
from aiplatform.server.experiments.errors import ConfigInvalid
from aiplatform.server.experiments.rules import number_of
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects.service.delegation import context_on_behalf_of
from aiplatform.server.queue.models import Task, TaskScheduling
from aiplatform.server.queue.service import request_cancel, request_pause, resume
from aiplatform.server.sweeps import queries
from aiplatform.server.sweeps.models import Sweep, SweepTrial
from aiplatform.server.sweeps.rules import MAX_FAILURES, grid_point, is_promoted, rung_steps


@dataclass(frozen=True, slots=True)
class PastTrial:
    """An earlier trial of the sweep.

    ``rungs`` are the trial's metric values at the steps where ASHA (the pruning method) compared
    trials.
    """

    params: Params
    state: TrialState
    value: float | None
    rungs: Sequence[Any] = ()


def choose_parameters(spec: SweepSpec, history: Sequence[PastTrial]) -> Params:
    """Return the next trial's parameters; the same history and seed give the same parameters.

    The Optuna study is built from the history each time, so no process has to keep state.
    """
    number = len(history)
    if spec.method == "grid":
        return grid_point(spec, number)
    # Importing Optuna takes 13 MB and 0.2 s, and only the worker that advances sweeps needs it.
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = (spec.seed + 1_000_003 * number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if spec.method == "random"
            # Running trials are rated as bad, so that simultaneous trials explore other regions.
            else optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        )
    study = optuna.create_study(direction=spec.direction, sampler=sampler)
    distributions = {path: _distribution(one) for path, one in spec.parameters.items()}
    for tried in history:
        study.add_trial(
            optuna.trial.create_trial(
                **_outcome(tried, spec.pruning), params=tried.params, distributions=distributions
            )
        )
    return dict(study.ask(fixed_distributions=distributions).params)


def _outcome(tried: PastTrial, asha: Asha | None) -> dict[str, Any]:
    """Return the outcome of a trial as arguments of ``optuna.trial.create_trial``.

    Optuna ranks pruned trials by the number of rungs that they reached, then by value. A paused
    trial may continue later, but is also passed as pruned, because otherwise its values would not
    be used.
    """
    from optuna.trial import TrialState as States  # noqa: PLC0415

    if tried.state is TrialState.COMPLETED and tried.value is not None:
        return {"state": States.COMPLETE, "value": tried.value}
    if asha is not None and tried.rungs and tried.state in {TrialState.PRUNED, TrialState.PAUSED}:
        values = {rung_steps(asha, rung): number_of(v) for rung, v in enumerate(tried.rungs)}
        finite = {step: value for step, value in values.items() if math.isfinite(value)}
        return {"state": States.PRUNED, "intermediate_values": finite}
    return {"state": States.RUNNING if tried.state.is_active else States.FAIL}


def _distribution(parameter: Choice | FloatRange | IntRange) -> Any:
    import optuna.distributions as kinds  # noqa: PLC0415

    match parameter:
        case Choice():
            return kinds.CategoricalDistribution(parameter.values)
        case IntRange():
            return kinds.IntDistribution(
                parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )
        case FloatRange():
            return kinds.FloatDistribution(
                parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )


log = structlog.get_logger(__name__)
S = TrialState


def advance(session: Session, sweep_id: int, *, wait: bool = False) -> None:
    """Do the next step of a running sweep.

    If another process is advancing the sweep, do nothing. With ``wait``, do the step after that
    process has finished, because it may have missed the event that triggered this call.
    """
    sweep = queries.lock_running(session, sweep_id, wait=wait)
    if sweep is None:
        return
    spec = SweepSpec.model_validate(sweep.spec)
    trials = list(queries.trials(session, sweep))
    _update_trials(session, sweep, spec, trials)
    if spec.pruning is not None:
        _halt_at_rungs(session, spec, spec.pruning, trials)
    _start_trials(session, sweep, spec, trials)
    if not any(S(trial.state) in {S.RUNNING, S.RESUMING} for trial in trials):
        for trial in trials:
            if trial.state == S.PAUSED:
                trial.state = S.PRUNED.value
        _end(session, sweep, spec, trials)
    session.flush()


def _update_trials(
    session: Session, sweep: Sweep, spec: SweepSpec, trials: Sequence[SweepTrial]
) -> None:
    """Update the trials from their tasks.

    If the first completed run has no value for the objective, no other run will have one. In that
    case the sweep ends with an error, and its running trials are cancelled.
    """
    unmeasured: SweepTrial | None = None
    states = queries.task_states(session, sweep)
    for trial in trials:
        if not S(trial.state).is_active:
            continue
        if trial.task_id not in states:
            trial.state, trial.error = S.FAILED.value, "the task is gone"
            continue
        task = states[trial.task_id]
        status = task.status
        if status == TaskStatus.COMPLETED:
            value = number_of(task.figures.get(spec.objective))
            if math.isfinite(value):
                trial.state, trial.value = S.COMPLETED.value, value
            else:
                trial.state = S.FAILED.value
                trial.error = f"the run has no {spec.objective} that is a number"
                if spec.objective not in task.figures:
                    unmeasured = trial
        elif status == TaskStatus.FAILED:
            trial.state, trial.error = S.FAILED.value, task.error
        elif status == TaskStatus.CANCELLED:
            trial.state = S.CANCELLED.value
        elif trial.state == S.RESUMING and status != TaskStatus.PAUSED and not task.will_pause:
            trial.state = S.RUNNING.value
    if unmeasured is None or any(trial.state == S.COMPLETED for trial in trials):
        return
    sweep.error = sweep.error or (
        f"trial {unmeasured.number + 1} completed without {spec.objective}, so no trial has it; "
        "give the experiment an eval_dataset, or search by a metric that its runs have, such as "
        "the objective loss"
    )
    for trial in trials:
        if S(trial.state).is_active:
            trial.state = S.CANCELLED.value


def _halt_at_rungs(
    session: Session, spec: SweepSpec, asha: Asha, trials: Sequence[SweepTrial]
) -> None:
    """Pause or stop trials that reached a rung but are not among the best there.

    A rung is a step at which trials are compared.
    """
    for trial in trials:
        if trial.state != S.RUNNING or trial.task_id is None:
            continue
        while True:
            rung = len(trial.rungs)
            value = queries.value_at(session, trial.task_id, asha.series, rung_steps(asha, rung))
            if value is None:
                break
            trial.rungs = [*trial.rungs, value]
            if not _is_promoted(spec, asha, trial, trials):
                halted = S.PAUSED if asha.halt == "pause" else S.PRUNED
                trial.state = halted.value
                break


def _is_promoted(
    spec: SweepSpec, asha: Asha, trial: SweepTrial, trials: Sequence[SweepTrial]
) -> bool:
    rung = len(trial.rungs) - 1
    others = [number_of(other.rungs[rung]) for other in trials if len(other.rungs) > rung]
    value = number_of(trial.rungs[rung])
    return is_promoted(value, others, asha, minimize=spec.direction == "minimize")


def _start_trials(
    session: Session, sweep: Sweep, spec: SweepSpec, trials: list[SweepTrial]
) -> None:
    """Resume paused trials that are now among the best, then start new trials.

    At most ``parallelism`` trials (see the spec) run at the same time.
    """
    room = spec.parallelism - sum(S(t.state) in {S.RUNNING, S.RESUMING} for t in trials)
    if spec.pruning is not None:
        for trial in trials:
            if room == 0 or trial.state != S.PAUSED:
                continue
            if _is_promoted(spec, spec.pruning, trial, trials):
                trial.state = S.RESUMING.value
                room -= 1
    failed = sum(trial.state == S.FAILED for trial in trials)
    if failed >= MAX_FAILURES and not any(trial.state == S.COMPLETED for trial in trials):
        sweep.error = sweep.error or f"{failed} trials have failed and none has succeeded"
    while room > 0 and len(trials) < spec.max_trials and sweep.error is None:
        started = _start(session, sweep, spec, trials)
        if started is None:
            return
        trials.append(started)
        if started.state == S.RUNNING:
            room -= 1
        elif sum(t.state == S.FAILED for t in trials) >= MAX_FAILURES:
            return


def _start(
    session: Session, sweep: Sweep, spec: SweepSpec, trials: Sequence[SweepTrial]
) -> SweepTrial | None:
    """Queue the next trial for the sweep's author, with the author's current permissions.

    Return the trial, or None if no more trials can be started; the sweep then has an error.
    """
    history = [PastTrial(t.params, S(t.state), t.value, t.rungs) for t in trials]
    try:
        params = choose_parameters(spec, history)
    except Exception as fault:  # Optuna may raise any error, and would raise it again
        log.exception("no parameters", sweep=str(sweep.uuid))
        sweep.error = f"the next parameters can't be chosen: {type(fault).__name__}: {fault}"
        return None
    trial = SweepTrial(sweep_id=sweep.id, number=len(trials), params=params, state=S.RUNNING.value)
    try:
        with session.begin_nested():
            context = context_on_behalf_of(
                session, sweep.created_by, sweep.project_id, key_id=sweep.key_id
            )
            if not context.may(Permission.TRAINING_WRITE):
                raise PermissionDenied(permission=Permission.TRAINING_WRITE.value)
            may_override = context.may(Permission.DATASETS_OVERRIDE)
            experiment = queries.experiment_of(session, sweep)
            config = experiments.changed_config(experiment.config, trial.params)
            task = experiments.submit_run(
                session,
                context,
                experiment,
                name=f"{sweep.name} #{trial.number + 1}",
                priority=spec.priority,
                override_gate=spec.override_gate if may_override else None,
                config=config,
            )
            trial.task_id = task.id
    except ConfigInvalid as problem:
        trial.state, trial.error = S.FAILED.value, problem.text("en")
    except Problem as problem:
        sweep.error = problem.text("en")
        return None
    session.add(trial)
    session.flush()
    return trial


def best_of(spec: SweepSpec, trials: Sequence[SweepTrial]) -> SweepTrial | None:
    """Return the completed trial with the best value; the earliest one if several are equal."""
    done = [trial for trial in trials if trial.state == S.COMPLETED and trial.value is not None]
    sign = 1 if spec.direction == "minimize" else -1
    return min(done, key=lambda trial: sign * (trial.value or 0.0), default=None)


def _end(session: Session, sweep: Sweep, spec: SweepSpec, trials: Sequence[SweepTrial]) -> None:
    best = best_of(spec, trials)
    succeeded = best is not None and sweep.error is None
    sweep.status = (SweepStatus.COMPLETED if succeeded else SweepStatus.FAILED).value
    if best is None and sweep.error is None:
        sweep.error = "no trial has succeeded"
    sweep.ended_at = func.clock_timestamp()
    project = queries.project_uuid(session, sweep)
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.SWEEP_ENDED,
        "sweep",
        sweep.uuid,
        project=project,
        outcome="success" if succeeded else "failure",
        name=sweep.name,
        trials=len(trials),
        best=None if best is None else {"number": best.number + 1, "value": best.value},
        error=sweep.error,
    )
    announce(
        session,
        NotificationType.SWEEP_ENDED,
        to=[sweep.created_by],
        project=project,
        name=sweep.name,
        sweep=sweep.uuid,
        status=sweep.status,
        status_zh="已完成" if succeeded else "失败",
        trials=len(trials),
        objective=spec.objective,
        best="-" if best is None else f"{best.value:.6g}",
    )


def pending_requests(session: Session, sweep_id: int) -> list[tuple[int, str]]:
    """Return the requests that the trials' tasks have not yet fulfilled.

    A request is a pair of a task id and ``cancel``, ``pause`` or ``resume``.
    """
    rows = session.execute(
        select(SweepTrial.state, Task.id, Task.status, TaskScheduling.stop_wanted)
        .join(Task, Task.id == SweepTrial.task_id)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .where(SweepTrial.sweep_id == sweep_id)
    )
    found = []
    for state, task_id, status, stop_wanted in rows:
        task = TaskStatus(status)
        if task.is_final or task is TaskStatus.CANCELLING:
            continue
        if state in {S.PRUNED, S.CANCELLED}:
            found.append((task_id, "cancel"))
        elif state == S.PAUSED and task is not TaskStatus.PAUSED:
            found.append((task_id, "pause"))
        elif state == S.RESUMING and (task is TaskStatus.PAUSED or stop_wanted == "pause"):
            found.append((task_id, "resume"))
    return found


def send_request(session: Session, task_id: int, request: str) -> None:
    """Send a trial's request to its task, in a separate transaction.

    Raises:
        TaskFinished: the task has since ended.
        Problem: the task refuses the request.
    """
    task = session.get_one(Task, task_id)
    sweep = session.scalars(
        select(Sweep)
        .join(SweepTrial, SweepTrial.sweep_id == Sweep.id)
        .where(SweepTrial.task_id == task_id)
    ).one()
    project = queries.project_uuid(session, sweep)
    match request:
        case "cancel":
            request_cancel(session, audit.SYSTEM, task, project=project)
        case "pause":
            request_pause(session, audit.SYSTEM, task, project=project)
        case "resume":
            resume(session, audit.SYSTEM, task, project=project)

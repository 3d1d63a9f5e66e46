"""Training estimates: their submission, and the past training runs that they are based on."""

from collections.abc import Iterable, Mapping
from statistics import median, quantiles
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.estimates import Pace
from aiplatform.protocol.shapes.estimates import RunEstimate
from aiplatform.protocol.specs import EstimateSpec, ReportResources
from aiplatform.protocol.trainings import AnyTraining, TrainingSpec, parse_training
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.errors import NotEstimable
from aiplatform.server.experiments.service import trainings
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.projects.service.quotas import DEFAULT_PRIORITY
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import require_readable, submit
from aiplatform.server.queue.service.kinds import Prepared

PRIORITY = 8
"""Priority of an estimate: high, because a user waits for it, but within the project's limit."""

FEW = 4
"""Number of past runs below which :data:`MARGIN` is used, because their spread says too little."""

MARGIN = 0.25
"""Relative distance of the estimated range's ends from the median pace if past runs are few."""

SLOWEST = 1e6
"""Maximum pace in seconds per token."""

UNRELATED = (
    *("checkpoint_steps", "labels", "logging_steps", "max_attempts", "output_name"),
    *("preemptible", "queue", "retry_seconds", "secrets", "time_limit_seconds", "type"),
)
"""Fields of a training spec that do not affect the estimate."""


class Run(NamedTuple):
    """A completed training run with the same base model: its config and its result."""

    config: Mapping[str, Any]
    result: Mapping[str, Any]


def submit_estimate(session: Session, context: ProjectContext, training: AnyTraining) -> Task:
    """Queue an estimate of a training run, after the same checks as for the run itself.

    Raises:
        PermissionDenied: the caller may not read the training data.
        NotEstimable, NotFound, ModelNotReady, DatasetNotTrainable: see :func:`prepare`.
        NoWorkerCanRun, QuotaExceeded: see ``queue.service.submit``.
    """
    require_readable(context, training)
    prepared = prepare(session, context, EstimateSpec(training=training))
    limit = quotas.quota_of(session, context.project_id).max_priority
    return submit(
        session,
        context,
        prepared.spec,
        name=f"{training.output_name} (estimate)"[:255],
        priority=min(PRIORITY, max(limit, DEFAULT_PRIORITY)),
        inputs=prepared.inputs,
    )


def prepare(session: Session, context: ProjectContext, spec: EstimateSpec) -> Prepared:
    """Choose the exact versions of an estimate's inputs, its pace and its resources.

    Raises:
        NotEstimable: the method can't be estimated.
        NotFound, ModelNotReady, DatasetNotTrainable: see :func:`trainings.prepare`.
    """
    if not spec.training.estimable:
        raise NotEstimable(method=spec.training.method.value)
    prepared = trainings.prepare(session, context, spec.training)
    training: Any = prepared.spec
    base = next(item.model_id for item in prepared.inputs if item.model_id is not None)
    completed = queries.completed_trainings(session, base)
    pace = pace_of(training, (Run(row.config, row.result) for row in completed))
    resources = ReportResources()
    if pace is None and training.resources.gpus:
        # Steps are measured, which is only useful on the kind of device that the run will use.
        resources = ReportResources(gpus=1, gpu_memory_mb=training.resources.gpu_memory_mb)
    return Prepared(
        spec=EstimateSpec(
            training=training,
            pace=pace,
            resources=resources,
            queue=training.queue,
            labels=training.labels,
        ),
        inputs=prepared.inputs,
    )


def pace_of(training: TrainingSpec, runs: Iterable[Run]) -> Pace | None:
    """Return the pace of past runs with the same kind of computation; None if there are none."""
    wanted = _kind_of(training)
    paces, overheads = [], []
    for config, result in runs:
        tokens = result.get("computed_tokens")
        if not tokens or _kind_of(parse_training(config)) != wanted:
            continue
        seconds = result["computed_seconds"]
        paces.append(seconds / tokens)
        overheads.append(max(0.0, result["seconds"] - seconds))
    if not paces:
        return None
    middle = median(paces)
    low, high = middle * (1 - MARGIN), middle * (1 + MARGIN)
    if len(paces) >= FEW:
        low, *_, high = quantiles(paces, n=10, method="inclusive")
    return Pace(
        trainings=len(paces),
        low=min(low, SLOWEST),
        expected=min(middle, SLOWEST),
        high=min(high, SLOWEST),
        overhead_seconds=median(overheads),
    )


def _kind_of(spec: TrainingSpec) -> tuple[Any, ...]:
    """Return the settings that determine the speed of a run, apart from its model and tokens."""
    return (
        spec.method,
        getattr(spec, "tuning", "lora"),
        spec.precision,
        spec.resources.gpus > 0,
        spec.all_processes,
    )


def estimate_of_run(session: Session, task: Task) -> RunEstimate | None:
    """Return the newest estimate of the same training that was made before a run, or None."""
    config = {key: value for key, value in jsonable(task.config).items() if key not in UNRELATED}
    row = queries.estimate_of(session, task, config, UNRELATED)
    if row is None:
        return None
    return RunEstimate(
        uuid=row.uuid, memory_mb=row.result["memory_mb"], seconds=row.result["seconds"]
    )

"""Comparison of several experiments and runs, and the record of one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.experiments.rules import compare as compared
from aiplatform.server.experiments.rules import own_config, record_of
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task


@dataclass(frozen=True, slots=True)
class Compared:
    """An experiment or run in a comparison. ``run`` is the run that its metrics come from.

    For an experiment, that is the best run.
    """

    kind: Literal["experiment", "run"]
    uuid: UUID
    name: str
    status: str
    run: UUID | None
    config: dict[str, Any]
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Common and differing values of several items; lists are in the order of ``items``."""

    items: list[Compared]
    same: dict[str, Any]
    differs: dict[str, list[Any]]
    metrics: dict[str, list[Any]]
    series: list[str]


def compare(
    session: Session,
    context: ProjectContext,
    *,
    experiments: Sequence[UUID],
    runs: Sequence[UUID],
) -> Comparison:
    """Compare experiments and runs of the project.

    Raises:
        NotFound: the project has no such experiment or run.
    """
    items = [_experiment(queries.get_experiment(session, context, uuid)) for uuid in experiments]
    items += [_run(session, queries.get_run(session, context, uuid)) for uuid in runs]
    same, differs = compared([item.config for item in items])
    keys = sorted({key for item in items for key in item.metrics})
    series: set[str] = set()
    for item in items:
        task_id = session.scalar(select(Task.id).where(Task.uuid == item.run))
        if task_id is not None:
            series.update(queries.last_values(session, task_id))
    return Comparison(
        items,
        same,
        differs,
        {key: [item.metrics.get(key) for item in items] for key in keys},
        sorted(series),
    )


def _experiment(experiment: Experiment) -> Compared:
    figures = {
        key: value
        for key, value in experiment.metrics.items()
        if key not in {"runs", "task", "name", "model", "evaluation"}
    }
    best = experiment.metrics.get("task")
    return Compared(
        "experiment",
        experiment.uuid,
        experiment.name,
        experiment.status,
        None if best is None else UUID(best),
        experiment.config,
        figures,
    )


def _run(session: Session, task: Task) -> Compared:
    details = queries.run_details(session, task.id)
    metrics = {} if details is None else details.metrics
    config = own_config(task.type, task.config)
    return Compared("run", task.uuid, task.name, task.status, task.uuid, config, metrics)


def record(session: Session, task: Task) -> dict[str, Any]:
    """Return a run's record, which contains everything needed to repeat it.

    See ``rules.record_of``.
    """
    details = queries.run_details(session, task.id)
    told = {} if details is None else details.record
    if task.type == TaskType.EXTERNAL:
        # An external run reports its environment and commit itself.
        facts = dict(task.config["facts"])
        git = facts.pop("git", None)
        told = {"git": git if isinstance(git, dict) else None, "environment": facts}
    environment = {} if told.get("environment") else queries.environment_of(session, task.id)
    inputs = queries.inputs_of(session, task)
    return record_of(
        own_config(task.type, task.config),
        [(item.role, item.label, item.content_hash) for item in inputs],
        told,
        environment,
    )

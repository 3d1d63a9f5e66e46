"""Subjects of searches: experiments and runs, with their tables and attributes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import outerjoin

from aiplatform.server.experiments.models import (
    Experiment,
    ExperimentDetails,
    ExperimentFact,
    RunDetails,
    RunFact,
)
from aiplatform.server.identity.models import User
from aiplatform.server.queue.models import Task, TaskScheduling


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that every row has: a text, time or flag. ``of`` is a column or subquery."""

    of: Any
    is_time: bool = False
    is_flag: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Either experiments or runs, as rows that can be searched."""

    key: Any
    project: Any
    """Column with the id of the row's project."""
    tables: Any
    """Tables with the key, project and attributes.

    They are outer joins by unique keys, so the planner omits tables that a statement does not use.
    """
    around: Callable[[Any, Any], Any]
    """Function that joins the other tables to the table with the key."""
    facts: type[ExperimentFact] | type[RunFact]
    tagged: ColumnElement[int | None]
    """Column with the id of the experiment whose tags a filter on ``tags`` compares."""
    attributes: Mapping[str, Attribute]
    one_by_one: bool = False
    """True if figures are looked up row by row, which is fast for a few rows but slow for all."""


def _text(column: Any) -> Attribute:
    return Attribute(column)


_author = select(User.username)


def _around_experiments(table: Any, key: Any) -> Any:
    return outerjoin(table, ExperimentDetails, ExperimentDetails.experiment_id == key)


def _around_runs(table: Any, key: Any) -> Any:
    return (
        outerjoin(table, Task, Task.id == key)
        .outerjoin(TaskScheduling, TaskScheduling.task_id == key)
        .outerjoin(Experiment, Experiment.id == RunDetails.experiment_id)
    )


EXPERIMENTS = Subject(
    key=Experiment.id,
    project=Experiment.project_id,
    tables=_around_experiments(Experiment, Experiment.id),
    around=_around_experiments,
    facts=ExperimentFact,
    tagged=Experiment.id,  # type: ignore[arg-type]
    attributes={
        "name": _text(Experiment.name),
        "status": _text(Experiment.status),
        "base_model": _text(Experiment.base_model),
        "task_type": _text(Experiment.task_type),
        "author": _text(
            _author.where(User.id == ExperimentDetails.created_by).correlate(ExperimentDetails)
            .scalar_subquery()
        ),
        "created": Attribute(Experiment.created_at, is_time=True),
        "archived": Attribute(ExperimentDetails.archived_at.is_not(None), is_flag=True),
    },
)  # fmt: skip

RUNS = Subject(
    key=RunDetails.task_id,
    project=RunDetails.project_id,
    tables=_around_runs(RunDetails, RunDetails.task_id),
    around=_around_runs,
    facts=RunFact,
    tagged=RunDetails.experiment_id,  # type: ignore[arg-type]
    attributes={
        "name": _text(Task.name),
        "status": _text(Task.status),
        "experiment": _text(Experiment.name),
        "author": _text(
            _author.where(User.id == TaskScheduling.created_by).correlate(TaskScheduling)
            .scalar_subquery()
        ),
        "created": Attribute(Task.created_at, is_time=True),
    },
)  # fmt: skip

"""Ending external runs."""

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.rules import figures_of, first_series, with_run
from aiplatform.server.experiments.service.figures import store_figures
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import Outcome
from aiplatform.server.telemetry.service.charts import summarise_metrics


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Store the figures of an external run that has ended.

    They are stored for searches, in the task's result and, if the run succeeded, in its experiment.
    """
    store_figures(session, task, figures_of(jsonable(outcome.result)))
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

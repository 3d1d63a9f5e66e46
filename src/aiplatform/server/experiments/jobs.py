"""Task kinds for experiments: training runs, estimates, evaluations and external runs."""

from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ExperimentStatus, TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.experiments.service import estimates, evaluations, trainings
from aiplatform.server.experiments.service.trainings import task_inputs
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import kinds
from aiplatform.server.queue.service.kinds import Inputs, Outcome, Prepared, TaskKind


class Training(TaskKind):
    """A training task, which is a run of an experiment."""

    type = TaskType.TRAINING
    permission = Permission.TRAINING_WRITE
    announces_success = True
    checkpoints = True
    started_through = "experiments"

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Check the training task and choose exact versions; see :func:`trainings.prepare`."""
        return trainings.prepare(session, context, spec)

    def check_retry(
        self,
        session: Session,
        context: ProjectContext,
        task: Task,
        *,
        override_gate: str | None = None,
    ) -> None:
        """Check that a retry may start; see :func:`trainings.prepare_retry`."""
        trainings.prepare_retry(session, context, task, override_gate=override_gate)

    def copy_to_retry(self, session: Session, task: Task, again: Task) -> None:
        """Copy details of the failed run to its retry; see :func:`trainings.copy_to_retry`."""
        trainings.copy_to_retry(session, task, again)

    def processes(self, spec: dict[str, Any], gpus: int) -> int:
        """Return the number of processes requested in the spec, by default one per GPU."""
        return int(spec.get("processes") or gpus or 1)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Return the files of the base model, training rows and held-out rows."""
        return task_inputs(session, task)

    def started(self, session: Session, task_id: int) -> None:
        """Set the experiment of the training task to running."""
        trainings.set_running(session, task_id)

    def requeued(self, session: Session, task: Task) -> None:
        """Set the experiment of the training task to pending."""
        trainings.update_status(session, task, ExperimentStatus.PENDING)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Register the model and summarise the run; see :func:`trainings.conclude`."""
        trainings.conclude(session, task, outcome)


class Estimate(TaskKind):
    """An estimate of a training run. The estimate is not itself a run of an experiment."""

    type = TaskType.ESTIMATE
    permission = Permission.TRAINING_WRITE
    started_through = "projects/{project}/training-estimates"
    announces_success = True

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Choose exact versions, pace and resources; see :func:`estimates.prepare`."""
        return estimates.prepare(session, context, spec)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Return the files of the base model, training rows and held-out rows."""
        return task_inputs(session, task)


class Evaluation(TaskKind):
    """An evaluation of a model and its base model on held-out rows."""

    type = TaskType.EVALUATION
    permission = Permission.TRAINING_WRITE
    looks_at_others = False

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Check the evaluation and choose exact versions; see :func:`evaluations.prepare`."""
        return evaluations.prepare(session, context, spec)

    def model_made(self, session: Session, task: Task, maker: Task) -> None:
        """Use the model that a training task made; see :func:`evaluations.pin_produced_model`."""
        evaluations.pin_produced_model(session, task, maker)

    def failure_reason(self, task: Task, result: dict[str, Any]) -> str | None:
        """Return the failed pass conditions as text; see :func:`evaluations.failure_reason`."""
        return evaluations.failure_reason(task, result)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Return the files of the model, its base model and the rows."""
        return task_inputs(session, task)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Store the evaluation's result; see :func:`evaluations.conclude`."""
        evaluations.conclude(session, task, outcome)


class External(TaskKind):
    """A run that executes outside the platform and reports its metrics."""

    type = TaskType.EXTERNAL
    external = True
    started_through = "runs"

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Store the run's metrics; see :func:`trainings.conclude_external_run`."""
        trainings.conclude_external_run(session, task, outcome)


def register() -> None:
    """Register the task kinds; called when the API or a worker starts."""
    kinds.register(External())
    kinds.register(Training())
    kinds.register(Estimate())
    kinds.register(Evaluation())

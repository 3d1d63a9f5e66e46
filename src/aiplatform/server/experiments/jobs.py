"""The queue's side of experiments: tasks of type training and evaluation."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ExperimentStatus, TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.questions import Question
from aiplatform.server.datasets.queries import pins
from aiplatform.server.experiments.service import evaluations, external, trainings
from aiplatform.server.experiments.service.inputs import task_inputs
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import kinds
from aiplatform.server.tasks.service.kinds import Inputs, Outcome, Prepared, TaskKind


class Training(TaskKind):
    """One run of an experiment."""

    type = TaskType.TRAINING
    permission = Permission.TRAINING_WRITE
    announces_success = True
    checkpoints = True
    started_through = "experiments"

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """See :func:`trainings.prepare`."""
        return trainings.prepare(session, context, spec)

    def retried(
        self,
        session: Session,
        context: ProjectContext,
        task: Task,
        *,
        override_gate: str | None = None,
    ) -> None:
        """See :func:`trainings.prepare_retry`."""
        trainings.prepare_retry(session, context, task, override_gate=override_gate)

    def queued_again(self, session: Session, task: Task, again: Task) -> None:
        """See :func:`trainings.take_over`."""
        trainings.take_over(session, task, again)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Base model, rows and held-out rows."""
        return task_inputs(session, task)

    def started(self, session: Session, task_id: int) -> None:
        """The experiment runs."""
        trainings.show_running(session, task_id)

    def requeued(self, session: Session, task: Task) -> None:
        """The experiment waits again."""
        trainings.follow(session, task, ExperimentStatus.PENDING)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """See :func:`trainings.conclude`."""
        trainings.conclude(session, task, outcome)


class Evaluation(TaskKind):
    """A model beside its base on held-out rows."""

    type = TaskType.EVALUATION
    permission = Permission.TRAINING_WRITE
    shares_commit = True

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """See :func:`evaluations.prepare`."""
        return evaluations.prepare(session, context, spec)

    def look_ahead(self, context: ProjectContext, specs: Sequence[Any]) -> Sequence[Question]:
        """The datasets."""
        return (pins.pins_asked(context, [spec.dataset for spec in specs]),)

    def model_made(self, session: Session, task: Task, maker: Task) -> None:
        """See :func:`evaluations.read_made`."""
        evaluations.read_made(session, task, maker)

    def missed(self, task: Task, result: dict[str, Any]) -> str | None:
        """See :func:`evaluations.missed`."""
        return evaluations.missed(task, result)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """The model, its base and the rows."""
        return task_inputs(session, task)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """See :func:`evaluations.conclude`."""
        evaluations.conclude(session, task, outcome)


class External(TaskKind):
    """A run that executes elsewhere and reports."""

    type = TaskType.EXTERNAL
    elsewhere = True
    started_through = "runs"

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """See :func:`external.conclude`."""
        external.conclude(session, task, outcome)


def register() -> None:
    """Called by the composition roots."""
    kinds.register(External())
    kinds.register(Training())
    kinds.register(Evaluation())

"""The queue's side of deployments: tasks of type inference."""

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.inference import service
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import kinds
from aiplatform.server.tasks.service.kinds import Inputs, Outcome, TaskKind


class Inference(TaskKind):
    """One run of a deployment's server. It ends when it is stopped, or by a fault."""

    type = TaskType.INFERENCE
    permission = Permission.INFERENCE_WRITE
    started_through = "deployments"
    serves = True

    def inputs(self, session: Session, task: Task) -> Inputs:
        """See :func:`service.task_inputs`."""
        return service.task_inputs(session, task)

    def model_made(self, session: Session, task: Task, maker: Task) -> None:
        """See :func:`service.model_made`."""
        service.model_made(session, task, maker)

    def started(self, session: Session, task_id: int) -> None:
        """See :func:`service.server_starts`."""
        service.server_starts(session, task_id)

    def ready(self, session: Session, task: Task, endpoint: str, token: str) -> None:
        """See :func:`service.server_ready`."""
        service.server_ready(session, task, endpoint, token)

    def drain_seconds(self, session: Session, task_id: int) -> float | None:
        """See :func:`service.drain_seconds`."""
        return service.drain_seconds(session, task_id)

    def requeued(self, session: Session, task: Task) -> None:
        """See :func:`service.server_lost`."""
        service.server_lost(session, task)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """See :func:`service.server_ended`."""
        service.server_ended(session, task, outcome)


def register() -> None:
    """Called by the composition roots."""
    kinds.register(Inference())

"""The task type ``inference``, through which the task queue runs model servers."""

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.inference import service
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import kinds
from aiplatform.server.queue.service.kinds import Inputs, Outcome, TaskKind


class Inference(TaskKind):
    """The task type for model servers. A task ends when its server is stopped or crashes."""

    type = TaskType.INFERENCE
    permission = Permission.INFERENCE_WRITE
    started_through = "deployments"
    serves = True

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Call :func:`service.task_inputs`."""
        return service.task_inputs(session, task)

    def model_made(self, session: Session, task: Task, maker: Task) -> None:
        """Call :func:`service.model_made`."""
        service.model_made(session, task, maker)

    def started(self, session: Session, task_id: int) -> None:
        """Call :func:`service.server_started`."""
        service.server_started(session, task_id)

    def ready(self, session: Session, task: Task, endpoint: str, token: str) -> None:
        """Call :func:`service.server_ready`."""
        service.server_ready(session, task, endpoint, token)

    def drain_seconds(self, session: Session, task_id: int) -> float | None:
        """Call :func:`service.drain_seconds`."""
        return service.drain_seconds(session, task_id)

    def requeued(self, session: Session, task: Task) -> None:
        """Call :func:`service.server_lost`."""
        service.server_lost(session, task)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Call :func:`service.server_ended`."""
        service.server_ended(session, task, outcome)


def register() -> None:
    """Register the task type. Called by the composition roots."""
    kinds.register(Inference())

"""The task kind for scripts."""

from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import kinds
from aiplatform.server.queue.service.kinds import Inputs, Outcome, Prepared, TaskKind, Write
from aiplatform.server.scripts import service


class Script(TaskKind):
    """A task that runs a user's own command."""

    type = TaskType.SCRIPT
    permission = Permission.TRAINING_WRITE
    checkpoints = True
    runs_isolated = True

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Check the script's code and data and choose versions; see :func:`service.prepare`."""
        return service.prepare(session, context, spec)

    def check_retry(
        self,
        session: Session,
        context: ProjectContext,
        task: Task,
        *,
        override_gate: str | None = None,  # noqa: ARG002  (no quality gate applies to scripts)
    ) -> None:
        """Check that the script may run again; see :func:`service.require_runnable`."""
        service.require_runnable(session, context, task)

    def processes(self, spec: dict[str, Any], gpus: int) -> int:  # noqa: ARG002
        """Return the number of processes that the script requests, by default 1."""
        return int(spec.get("processes") or 1)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Return the files of the script's code, datasets and models."""
        return service.task_inputs(session, task)

    def store_output(self, write: Write, task: UUID, output: Path, result: dict[str, Any]) -> None:  # noqa: ARG002
        """Check the names and total size of the output before its files are stored one by one."""
        service.require_valid_artifacts(output)
        write(lambda session: service.require_storage_room(session, task, output))

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Record the output as artifacts; see :func:`service.conclude`."""
        service.conclude(session, task, outcome)


def register() -> None:
    """Register the task kind; called when the API or a worker starts."""
    kinds.register(Script())

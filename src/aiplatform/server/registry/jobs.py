"""The registry's task kind: importing a model."""

from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import kinds
from aiplatform.server.queue.service.kinds import Inputs, Outcome, Prepared, TaskKind
from aiplatform.server.registry.service import imports


class ModelImport(TaskKind):
    """A task that imports a base model."""

    type = TaskType.MODEL_IMPORT
    downloads = True
    permission = Permission.MODELS_WRITE

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Prepare the import that a spec requests; see :func:`imports.prepare_submitted`."""
        return imports.prepare_submitted(session, context, spec)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Return the uploaded files, if the import reads any."""
        return imports.task_inputs(session, task)

    def started(self, session: Session, task_id: int) -> None:
        """Store the task's id in the model's details."""
        imports.note_started(session, task_id)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Store the task's output as the model's files; if the task failed, store its error."""
        imports.conclude(session, task, outcome)


def register() -> None:
    """Register the task kind; called when the API or a worker starts."""
    kinds.register(ModelImport())

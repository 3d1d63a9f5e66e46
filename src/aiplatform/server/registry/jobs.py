"""The task kind of the registry."""

from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.registry.service import imports
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import kinds
from aiplatform.server.tasks.service.kinds import Inputs, Outcome, Prepared, TaskKind


class ModelImport(TaskKind):
    """Bring a base model in."""

    type = TaskType.MODEL_IMPORT
    permission = Permission.MODELS_WRITE

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """See :func:`imports.prepare_asked`."""
        return imports.prepare_asked(session, context, spec)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """The uploaded files."""
        return imports.task_inputs(session, task)

    def started(self, session: Session, task_id: int) -> None:
        """The model names its task."""
        imports.note_started(session, task_id)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """The output becomes the model."""
        imports.conclude(session, task, outcome)


def register() -> None:
    """Called by the composition roots."""
    kinds.register(ModelImport())

"""The task kind of datasets."""

from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.datasets.service import quality
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import kinds
from aiplatform.server.tasks.service.kinds import Inputs, Outcome, Prepared, TaskKind


class DataQuality(TaskKind):
    """The quality report of one dataset version."""

    type = TaskType.DATA_QUALITY
    permission = Permission.DATASETS_WRITE
    announces_success = True

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """See :func:`quality.prepare`."""
        return quality.prepare(session, context, spec)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """The version's rows and, when tokens are counted, the tokenizer."""
        return quality.task_inputs(session, task)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Keep the report."""
        quality.conclude(session, task, outcome)


def register() -> None:
    """Called by the composition roots."""
    kinds.register(DataQuality())

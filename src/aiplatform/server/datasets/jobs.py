"""The task kinds of datasets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.questions import Question
from aiplatform.server.datasets.queries import pins
from aiplatform.server.datasets.service import fixes, gates, imports, quality, resumable
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import kinds
from aiplatform.server.tasks.service.kinds import Inputs, Outcome, Prepared, TaskKind, Write
from aiplatform.server.tasks.service.periodic import on_hour


class DataQuality(TaskKind):
    """The quality report of one dataset version."""

    type = TaskType.DATA_QUALITY
    permission = Permission.DATASETS_WRITE
    announces_success = True
    shares_commit = True

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """See :func:`quality.prepare`."""
        return quality.prepare(session, context, spec)

    def look_ahead(self, context: ProjectContext, specs: Sequence[Any]) -> Sequence[Question]:
        """The datasets, and the gate, which says what else they are compared with."""
        gate = gates.gate_asked(context.project_id)
        refs = [ref for spec in specs for ref in (spec.dataset, *spec.against)]
        return pins.pins_asked(context, refs), gate

    def inputs(self, session: Session, task: Task) -> Inputs:
        """The version's rows and, when tokens are counted, the tokenizer."""
        return quality.task_inputs(session, task)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Keep the report."""
        quality.conclude(session, task, outcome)


class DatasetImport(TaskKind):
    """Rows fetched from elsewhere."""

    type = TaskType.DATASET_IMPORT
    permission = Permission.DATASETS_WRITE
    started_through = "projects/{project}/dataset-imports"

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """See :func:`imports.prepare`."""
        return imports.prepare(session, context, spec)

    def inputs(self, session: Session, task: Task) -> Inputs:  # noqa: ARG002
        """Nothing: what it reads comes from outside."""
        return Inputs()

    def keep(self, write: Write, task: UUID, output: Path, result: dict[str, Any]) -> Any:
        """The output in parts."""
        return imports.keep(write, task, output, result)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Commit the version."""
        imports.conclude(session, task, outcome)


class DataFix(TaskKind):
    """A version in which findings of the quality report are cured."""

    type = TaskType.DATA_FIX
    permission = Permission.DATASETS_WRITE

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """See :func:`fixes.prepare`."""
        return fixes.prepare(session, context, spec)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """The version's rows and what its report read beside them."""
        return quality.task_inputs(session, task)

    def keep(self, write: Write, task: UUID, output: Path, result: dict[str, Any]) -> Any:
        """The fixed rows in parts."""
        return fixes.keep(write, task, output, result)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Commit the version."""
        fixes.conclude(session, task, outcome)


def register() -> None:
    """Called by the composition roots."""
    on_hour("uploads", resumable.forget_expired)
    kinds.register(DataFix())
    kinds.register(DatasetImport())
    kinds.register(DataQuality())

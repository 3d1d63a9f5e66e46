"""Task kinds for datasets: quality reports, imports and fixes."""

from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.server.datasets.service import fixes, imports, quality, resumable
from aiplatform.server.execution.service.periodic import on_hour
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import kinds
from aiplatform.server.queue.service.kinds import Inputs, Outcome, Prepared, TaskKind, Write


class DataQuality(TaskKind):
    """A task that makes the quality report of a dataset version."""

    type = TaskType.DATA_QUALITY
    permission = Permission.DATASETS_WRITE
    announces_success = True
    looks_at_others = False

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Choose the exact versions of the report's inputs; see :func:`quality.prepare`."""
        return quality.prepare(session, context, spec)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Return the version's rows, the comparison data and, if it is used, the tokenizer."""
        return quality.task_inputs(session, task)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Store the finished report."""
        quality.conclude(session, task, outcome)


class DatasetImport(TaskKind):
    """A task that fetches rows from another server."""

    type = TaskType.DATASET_IMPORT
    downloads = True
    permission = Permission.DATASETS_WRITE
    started_through = "projects/{project}/dataset-imports"

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Check the import before it is queued; see :func:`imports.prepare`."""
        return imports.prepare(session, context, spec)

    def inputs(self, session: Session, task: Task) -> Inputs:  # noqa: ARG002
        """Return no inputs: an import reads only from another server."""
        return Inputs()

    def store_output(self, write: Write, task: UUID, output: Path, result: dict[str, Any]) -> Any:
        """Store the fetched rows in parts."""
        return imports.store_output(write, task, output, result)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Commit the fetched rows as a version."""
        imports.conclude(session, task, outcome)


class DataFix(TaskKind):
    """A task that fixes findings of the quality report and commits the result as a version."""

    type = TaskType.DATA_FIX
    permission = Permission.DATASETS_WRITE

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Choose the exact versions of the fix's inputs; see :func:`fixes.prepare`."""
        return fixes.prepare(session, context, spec)

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Return the version's rows, and the tokenizer and other data that its report used."""
        return quality.task_inputs(session, task)

    def store_output(self, write: Write, task: UUID, output: Path, result: dict[str, Any]) -> Any:
        """Store the fixed rows in parts."""
        return fixes.store_output(write, task, output, result)

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Commit the fixed rows as a version."""
        fixes.conclude(session, task, outcome)


def register() -> None:
    """Register the task kinds and the hourly deletion of expired uploads.

    The API and workers call this when they start.
    """
    on_hour("uploads", resumable.delete_expired_uploads)
    kinds.register(DataFix())
    kinds.register(DatasetImport())
    kinds.register(DataQuality())

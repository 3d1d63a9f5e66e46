"""The real API and worker, with an additional kind of task that keeps a journal."""

import sys
from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.server import app, worker
from aiplatform.server.composition import compose
from aiplatform.server.execution.runner import process
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import kinds
from aiplatform.server.queue.service.kinds import Inputs, Prepared, TaskKind


class Journalled(TaskKind):
    """A kind of task without inputs, whose child process keeps a journal."""

    type = TaskType.DATA_QUALITY
    checkpoints = True

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        return Prepared(spec)

    def inputs(self, session: Session, task: Task) -> Inputs:
        return Inputs()


def compose_journalled() -> None:
    compose()
    kinds.register(Journalled())


def main() -> int:
    app.compose = worker.compose = compose_journalled  # type: ignore[attr-defined]
    process.RUNTIME = [sys.executable, "-m", "tests.faults.child"]
    return app.serve() if sys.argv[1] == "server" else worker.main()


if __name__ == "__main__":
    sys.exit(main())

"""Steps that fixes and imports share when they commit the output of a task as a version."""

from collections.abc import Iterable
from functools import partial

from sqlalchemy.orm import Session

from aiplatform.data.parts import Packed
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core import storage
from aiplatform.server.projects.access import ProjectContext, confirm_author
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import Write


def author_context(session: Session, task: Task) -> ProjectContext:
    """Return the context of the task's author, who must still be allowed to commit datasets.

    Raises:
        Problem: the author may not; see :func:`confirm_author`.
    """
    author = task.scheduling.created_by
    return confirm_author(session, author, task.project_id, Permission.DATASETS_WRITE)


def store_new_parts(write: Write, files: Iterable[Packed]) -> None:
    """Store the new parts of each file, each part in its own transaction.

    The lists of new parts are then cleared, so that the commit of the version does not store the
    parts again.
    """
    for file in files:
        for path, sha256, size in file.new:
            write(partial(storage.store_file, path=path, sha256=sha256, size=size))
        file.new.clear()

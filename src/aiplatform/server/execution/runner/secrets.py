"""The secrets of a task: read when it starts, given only to its process, masked in its output.

The values exist only in the memory of the worker and in the environment of the child. The job file,
the task's row and the log contain only names. Everything that the child sends is searched for the
values before it is stored.
"""

from typing import Any

from sqlalchemy.orm import Session

from aiplatform.protocol.messages import Event, Failure, Result
from aiplatform.server.execution.runner.process import Item, Malformed
from aiplatform.server.execution.service.attempts import Chunk
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.secrets import service as secrets_service

SHORTEST_MASKED = 6
"""Length of the shortest values that are masked; shorter ones match too much ordinary text."""

MASK = "[secret]"


def reveal_secrets(session: Session, task: Task) -> dict[str, str]:
    """Return the values by environment variable, for this start of the task.

    Raises:
        NoSuchSecret, KeyFileUnusable, SecretUnreadable: the task can't be started.
    """
    wanted = (task.config or {}).get("secrets") or {}
    if not wanted:
        return {}
    project = None if task.project_id is None else session.get(Project, task.project_id)
    return secrets_service.reveal_for_task(
        session,
        wanted,
        author_id=task.scheduling.created_by if task.scheduling.personal_secrets else None,
        project_id=task.project_id,
        project=None if project is None else project.uuid,
        task=task.uuid,
    )


def mask_secrets(item: Item, secrets: dict[str, str]) -> Item:
    """Replace the values of secrets in a message or log chunk of the child."""
    values = [value for value in secrets.values() if len(value) >= SHORTEST_MASKED]
    if not values:
        return item
    match item:
        case Chunk():
            item.text = _mask(item.text, values)
        case Failure() | Malformed():
            text = "error" if isinstance(item, Failure) else "reason"
            object.__setattr__(item, text, _mask(getattr(item, text), values))
        case Event() | Result():
            object.__setattr__(item, "data", _mask(item.data, values))
    return item


def _mask(content: Any, values: list[str]) -> Any:
    if isinstance(content, str):
        for value in values:
            content = content.replace(value, MASK)
        return content
    if isinstance(content, dict):
        return {_mask(key, values): _mask(inner, values) for key, inner in content.items()}
    if isinstance(content, list):
        return [_mask(inner, values) for inner in content]
    return content

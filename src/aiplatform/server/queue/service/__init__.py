"""Use cases for the queue.

``kinds`` is the interface that other domains implement for their types of tasks. ``queue`` submits
and cancels tasks; ``control`` pauses, resumes, retries and reorders them. ``claims`` assigns a task
to a worker.
"""

from aiplatform.server.queue.service.control import (
    move_before,
    request_pause,
    resume,
    retry,
    set_priority,
)
from aiplatform.server.queue.service.queue import (
    TaskRequest,
    cancel_project_tasks,
    request_cancel,
    require_readable,
    stop_author_tasks,
    submit,
    submit_checked,
)

__all__ = [
    "TaskRequest",
    "cancel_project_tasks",
    "move_before",
    "request_cancel",
    "request_pause",
    "require_readable",
    "resume",
    "retry",
    "set_priority",
    "stop_author_tasks",
    "submit",
    "submit_checked",
]

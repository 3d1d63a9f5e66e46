"""Use cases of the queue.

``kinds`` is what the owning domains register, ``queue`` submits and cancels, ``ordering`` changes
who goes first, ``control`` pauses, resumes and retries, ``claims`` takes a task for a worker,
``attempts`` is what a worker does with a task it holds, ``sweep`` makes up for whoever died.
"""

from aiplatform.server.tasks.service.control import request_pause, resume, retry
from aiplatform.server.tasks.service.ordering import move_before, set_priority
from aiplatform.server.tasks.service.queue import (
    Wanted,
    cancel_project_tasks,
    request_cancel,
    require_readable,
    stop_author_tasks,
    submit,
    submit_checked,
)

__all__ = [
    "Wanted",
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

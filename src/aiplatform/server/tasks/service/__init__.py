"""Use cases of the queue.

``kinds`` is what the owning domains register, ``queue`` submits and cancels, ``attempts`` is what a
worker does with a task it holds, ``sweep`` makes up for whoever died.
"""

from aiplatform.server.tasks.service.queue import (
    cancel_project_tasks,
    request_cancel,
    submit,
    submit_checked,
)

__all__ = ["cancel_project_tasks", "request_cancel", "submit", "submit_checked"]

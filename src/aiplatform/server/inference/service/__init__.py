"""Use cases for deployments.

``deployments`` handles users' requests, ``following`` the moves of aliases, and ``task_events`` the
task queue's reports about model servers. ``transitions`` and ``locks`` contain code that these
modules share.
Locks are always taken in the same order, task before deployment, because the queue calls this
domain with the task locked.
"""

from aiplatform.server.inference.service.deployments import (
    create_deployment,
    delete_deployment,
    refuse_shared_names,
    restart,
    start,
    stop,
    update,
)
from aiplatform.server.inference.service.following import follow_alias
from aiplatform.server.inference.service.task_events import (
    drain_seconds,
    model_made,
    server_ended,
    server_lost,
    server_ready,
    server_started,
    task_inputs,
)

__all__ = [
    "create_deployment",
    "delete_deployment",
    "drain_seconds",
    "follow_alias",
    "model_made",
    "refuse_shared_names",
    "restart",
    "server_ended",
    "server_lost",
    "server_ready",
    "server_started",
    "start",
    "stop",
    "task_inputs",
    "update",
]

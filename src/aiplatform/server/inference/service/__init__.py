"""Use cases of deployments.

``deployments`` contains what users request, ``servers`` what the task queue reports about model
servers, and ``running`` what both use. Locks are always taken in the same order, task before
deployment, because the queue calls this domain with the task locked.
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
from aiplatform.server.inference.service.servers import (
    drain_seconds,
    model_made,
    server_ended,
    server_lost,
    server_ready,
    server_starts,
    task_inputs,
)

__all__ = [
    "create_deployment",
    "delete_deployment",
    "drain_seconds",
    "model_made",
    "refuse_shared_names",
    "restart",
    "server_ended",
    "server_lost",
    "server_ready",
    "server_starts",
    "start",
    "stop",
    "task_inputs",
    "update",
]

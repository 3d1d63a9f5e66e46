"""Use cases of deployments.

``deployments`` is what people ask for, ``servers`` what the queue tells of their servers,
``running`` what both do. Locks are taken in one order everywhere, task before deployment, since the
queue calls this domain with the task locked.
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

"""Locking of a deployment together with the tasks of its servers."""

from sqlalchemy.orm import Session

from aiplatform.server.inference import queries
from aiplatform.server.inference.models import Deployment
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.queue import lock


def lock_deployment(
    session: Session, deployment_id: int
) -> tuple[Deployment, Task | None, Task | None]:
    """Lock and return a deployment, the task of its server, and the task of its update.

    The task of the update is locked first, as in :func:`.task_events.server_ready`, which is called
    with the new server's task locked and then locks the old server's task.

    Raises:
        NotFound: when the deployment was deleted.
    """
    while True:
        with session.begin_nested() as attempt:
            seen = queries.read_deployment(session, deployment_id)
            expected = (seen.task_id, seen.next_task_id)
            following, task = (
                None if task_id is None else lock(session, task_id)
                for task_id in (expected[1], expected[0])
            )
            deployment = queries.read_deployment(session, deployment_id, lock=True)
            if (deployment.task_id, deployment.next_task_id) == expected:
                return deployment, task, following
            # The deployment got another run in the meantime, whose task must be locked before it.
            attempt.rollback()

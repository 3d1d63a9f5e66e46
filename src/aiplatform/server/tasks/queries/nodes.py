"""SELECT statements for the nodes of tasks that run on several workers."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session


def open_places(session: Session) -> dict[str, int]:
    """Return how many nodes are still missing, by queue, for tasks that gather their nodes."""
    rows = session.execute(
        text(
            "SELECT s.queue, sum(g.nodes - 1 - (SELECT count(*) FROM task_nodes n "
            "WHERE n.task_id = g.task_id))::integer FROM task_gangs g "
            "JOIN task_scheduling s ON s.task_id = g.task_id "
            "WHERE g.state = 'gathering' GROUP BY s.queue"
        )
    )
    return {queue: places for queue, places in rows}  # noqa: C416  (typed rows)


NODES = text("""
SELECT 0 AS node, w.name AS worker, g.state, jsonb_array_length(l.gpu_indices) AS gpus
FROM task_gangs g JOIN task_leases l ON l.task_id = g.task_id JOIN workers w ON w.id = l.worker_id
WHERE g.task_id = :task_id
UNION ALL
SELECT n.node, w.name, n.state, jsonb_array_length(n.gpu_indices)
FROM task_nodes n JOIN workers w ON w.id = n.worker_id WHERE n.task_id = :task_id
ORDER BY node
""")


def nodes_of(session: Session, task_id: int) -> Sequence[Any]:
    """Return node, worker, state and GPUs for each node of a task that runs on several workers.

    The result is empty if the task runs on one worker.
    """
    return session.execute(NODES, {"task_id": task_id}).all()

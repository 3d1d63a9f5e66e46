"""Worker jobs that advance sweeps, each in its own transactions."""

from functools import partial

import structlog

from aiplatform.server.core.broker import on_message
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Problem
from aiplatform.server.execution.service.periodic import do_each, on_round
from aiplatform.server.experiments import service as experiments
from aiplatform.server.queue.errors import TaskFinished
from aiplatform.server.queue.service.kinds import on_end_or_pause, on_points
from aiplatform.server.sweeps import queries
from aiplatform.server.sweeps.service import check_experiment_deletion
from aiplatform.server.sweeps.service.next_step import advance, pending_requests, send_request
from aiplatform.server.sweeps.service.sweeps import ADVANCE, on_task_halt, on_task_metrics

log = structlog.get_logger(__name__)


def advance_all() -> None:
    """Do the next step of every running sweep, and send the resulting requests to its tasks.

    Tasks that are still running after their sweep has ended are asked again to stop.
    """
    with transaction() as session:
        running = queries.running_sweeps(session)
        ended = queries.ended_with_active_tasks(session)
    # An error in one sweep must not stop the others.
    do_each({f"sweep {sweep_id}": partial(_step, sweep_id) for sweep_id in running})
    do_each({f"sweep {sweep_id}": partial(_send_requests, sweep_id) for sweep_id in ended})


def _step(sweep_id: int) -> None:
    with transaction() as session:
        advance(session, sweep_id)
    _send_requests(sweep_id)


def advance_one(sweep_id: int) -> None:
    """Do the next step of a sweep after an event."""
    with transaction() as session:
        advance(session, sweep_id, wait=True)
    _send_requests(sweep_id)


def _send_requests(sweep_id: int) -> None:
    """Send a sweep's pending requests to its tasks.

    If a task refuses its request, the remaining requests are still sent.
    """
    with transaction() as session:
        requests = pending_requests(session, sweep_id)
    for task_id, request in requests:
        try:
            with transaction() as session:
                send_request(session, task_id, request)
        except TaskFinished:
            continue  # a task that has just ended needs nothing more
        except Problem as problem:
            # The next round repeats the request, unless the state of the trial or task has changed.
            log.warning(
                "a trial's request was refused",
                sweep=sweep_id,
                task=task_id,
                request=request,
                error=str(problem),
            )


def register() -> None:
    """Register the jobs and handlers; called when the API or a worker starts."""
    on_round("sweeps", advance_all)
    on_message(ADVANCE, advance_one)
    on_end_or_pause(on_task_halt)
    on_points(on_task_metrics)
    experiments.on_delete(check_experiment_deletion)

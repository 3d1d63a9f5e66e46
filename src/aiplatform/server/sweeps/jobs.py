"""Jobs of workers that advance sweeps, each in transactions of its own."""

import contextlib
from functools import partial

from aiplatform.server.core.broker import on_message
from aiplatform.server.core.database import transaction
from aiplatform.server.experiments import service as experiments
from aiplatform.server.sweeps import queries
from aiplatform.server.sweeps.service import go_with_experiment
from aiplatform.server.sweeps.service.advancing import advance, grant, wishes
from aiplatform.server.sweeps.service.prompting import ADVANCE, hear_of_halt, hear_of_points
from aiplatform.server.tasks.errors import TaskFinished
from aiplatform.server.tasks.service.hooks import on_end_or_pause, on_points
from aiplatform.server.tasks.service.periodic import do_each, on_round


def advance_all() -> None:
    """Do the next step of every sweep, and send the resulting requests to tasks."""
    with transaction() as session:
        running, unsettled = queries.running(session), queries.unsettled(session)
    # An error of one sweep must not stop the others.
    do_each({f"sweep {sweep_id}": partial(_step, sweep_id) for sweep_id in running})
    do_each({f"sweep {sweep_id}": partial(_grant_all, sweep_id) for sweep_id in unsettled})


def _step(sweep_id: int) -> None:
    with transaction() as session:
        advance(session, sweep_id)
    _grant_all(sweep_id)


def advance_one(sweep_id: int) -> None:
    """Do the next step of a sweep after an event."""
    with transaction() as session:
        advance(session, sweep_id, wait=True)
    _grant_all(sweep_id)


def _grant_all(sweep_id: int) -> None:
    with transaction() as session:
        wanted = wishes(session, sweep_id)
    for task_id, wish in wanted:
        # A task that has just ended needs nothing more.
        with contextlib.suppress(TaskFinished), transaction() as session:
            grant(session, task_id, wish)


def register() -> None:
    """Register the jobs and handlers; called when the API or a worker starts."""
    on_round("sweeps", advance_all)
    on_message(ADVANCE, advance_one)
    on_end_or_pause(hear_of_halt)
    on_points(hear_of_points)
    experiments.on_delete(go_with_experiment)

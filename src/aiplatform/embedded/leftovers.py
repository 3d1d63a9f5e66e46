"""Functions that find and stop the processes that a killed supervisor left running.

On Linux, the children of a supervisor get a signal when it dies. On other systems, or if children
were stuck, this module finds them by their recorded pid and start time, and the processes that they
started by the run's id in their environment.
"""

import logging
import signal

from aiplatform.embedded.home import Home
from aiplatform.embedded.process import (
    end_process,
    is_same_process,
    processes_with_variable,
    signal_group,
    wait_until_gone,
)
from aiplatform.embedded.state import ServiceRecord, State, read_state

RUN_VARIABLE = "AIPLATFORM_RUN_ID"
"""Environment variable with the id of a run; all descendants of the supervisor inherit it."""

APPS_SECONDS = 5.0
SERVERS = {"postgres": signal.SIGINT, "valkey": signal.SIGTERM, "initdb": signal.SIGKILL}
"""First signal for each process that holds data."""

SERVER_SECONDS = 20.0
"""Seconds that a process has to write its data before it is killed."""

logger = logging.getLogger("aiplatform.embedded")


def running_records(state: State) -> list[ServiceRecord]:
    """Return the recorded processes that are still running."""
    return [record for record in state.services if is_same_process(record.pid, record.identity)]


def end_leftovers(home: Home) -> list[str]:
    """Stop all remaining processes of the last run of this home, and return their names.

    The caller must hold the lock of the home.
    """
    state = read_state(home)
    if state is None:
        return []
    found = running_records(state)
    apps = [record for record in found if record.name not in SERVERS]
    for record in apps:
        if record.pid is not None:
            signal_group(record.pid, signal.SIGTERM)
    for record in apps:
        if record.pid is not None and not wait_until_gone(
            record.pid, record.identity, APPS_SECONDS
        ):
            signal_group(record.pid, signal.SIGKILL)
            wait_until_gone(record.pid, record.identity, 2.0)
    servers = {record.pid for record in found if record.name in SERVERS}
    strays = [
        (pid, known)
        for pid, known in processes_with_variable(RUN_VARIABLE, state.run_id)
        if pid not in servers
    ]
    for pid, known in strays:
        end_process(pid, known, [(signal.SIGKILL, 2.0)])
    for record in found:
        if record.name in SERVERS and record.pid is not None and record.identity is not None:
            steps = [(SERVERS[record.name], SERVER_SECONDS), (signal.SIGKILL, 2.0)]
            end_process(record.pid, record.identity, steps)
    names = [record.name for record in found] + [f"process {pid}" for pid, _ in strays]
    if names:
        logger.warning("ended what an earlier run left: %s", ", ".join(names))
    return names

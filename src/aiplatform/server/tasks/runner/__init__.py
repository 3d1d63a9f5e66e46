"""Runs one attempt: lays out its inputs, starts the child, stores what it says, ends it.

``process`` is the child and its pipes, ``attempt`` the supervision, ``telemetry`` what the child
uses of the machine.
"""

from aiplatform.server.tasks.runner.attempt import run_attempt
from aiplatform.server.tasks.runner.process import stop_everything, stopping

__all__ = ["run_attempt", "stop_everything", "stopping"]

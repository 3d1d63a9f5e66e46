"""Execution of one attempt on a worker: preparing its files, supervising it, storing its output.

The job of an attempt runs in a child process. ``attempt`` supervises this child; ``node_group`` and
``member`` do so for attempts on several nodes. ``layout`` prepares the child's files and secrets;
``process`` manages the child and its pipes. ``writers`` stores its log and other output.
``sampling`` measures resource usage. ``spares`` starts a child process before an attempt needs it.
"""

from aiplatform.server.execution.runner.attempt import run_attempt
from aiplatform.server.execution.runner.member import run_node
from aiplatform.server.execution.runner.process import SPARE, stop_everything, stopping
from aiplatform.server.execution.runner.sampling import get_sampler
from aiplatform.server.execution.runner.spares import Spares, keep_spares

__all__ = [
    "SPARE",
    "Spares",
    "get_sampler",
    "keep_spares",
    "run_attempt",
    "run_node",
    "stop_everything",
    "stopping",
]

"""Runs one attempt: lays out its inputs, starts the child, stores what it says, ends it.

``attempt`` is the supervision, ``gang`` and ``member`` that of several nodes, ``layout`` what the
child finds, ``process`` the child with its pipes, ``printed`` and ``output`` what it prints,
``writes`` how things are written, ``sampling`` what it uses of the machine, ``spans`` its trace,
``spares`` the child that is started ahead of its attempt.
"""

from aiplatform.server.tasks.runner.attempt import run_attempt
from aiplatform.server.tasks.runner.member import run_node
from aiplatform.server.tasks.runner.process import SPARE, stop_everything, stopping
from aiplatform.server.tasks.runner.sampling import get_sampler
from aiplatform.server.tasks.runner.spares import Spares, keep_spares

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

"""Runs that execute outside the platform: ``client.run(…)`` and ``client.external``.

``journal`` contains the files to which everything is written first, ``sender`` the thread that
sends them to the server, and ``run`` the object that the user's training loop uses.
"""

from aiplatform.client.external.group import ExternalRuns, Synced
from aiplatform.client.external.run import ExternalRun, RunCancelled

__all__ = ["ExternalRun", "ExternalRuns", "RunCancelled", "Synced"]

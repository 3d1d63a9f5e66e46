"""Runs that execute outside the platform: ``client.run(…)`` and ``client.external``.

``journal`` stores all records in files, ``sender`` sends them to the server in a thread, and
``run`` is the object that the user's training loop uses.
"""

from aiplatform.client.external.group import ExternalRuns, Synced
from aiplatform.client.external.run import ExternalRun, RunCancelled

__all__ = ["ExternalRun", "ExternalRuns", "RunCancelled", "Synced"]

"""Runs that execute elsewhere: ``client.run(…)`` reports one, ``client.external`` the rest.

``journal`` are the files that everything is written to first, ``sender`` the thread that brings
them to the server, ``run`` what the user's loop holds.
"""

from aiplatform.client.external.group import ExternalRuns, Synced
from aiplatform.client.external.run import ExternalRun, RunCancelled

__all__ = ["ExternalRun", "ExternalRuns", "RunCancelled", "Synced"]

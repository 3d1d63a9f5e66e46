"""Fixtures shared with the tests of the queue."""

from tests.server.queue.conftest import _empty_queue, kind, make_worker, owner, project, submit

__all__ = ["_empty_queue", "kind", "make_worker", "owner", "project", "submit"]

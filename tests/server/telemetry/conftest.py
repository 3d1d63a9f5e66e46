"""The fixtures of the queue, also for the tests here."""

from tests.server.queue.conftest import _empty_queue, kind, make_worker, owner, project, submit

__all__ = ["_empty_queue", "kind", "make_worker", "owner", "project", "submit"]

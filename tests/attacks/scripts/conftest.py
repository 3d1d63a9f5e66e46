"""Fixtures of a platform that allows scripts, from ``tests/server/scripts``."""

from tests.server.scripts.conftest import allowed, bundle, mine, project, run, submit

__all__ = ["allowed", "bundle", "mine", "project", "run", "submit"]

"""Fixtures for a platform that allows scripts, taken from ``tests/server/scripts``."""

from tests.server.scripts.conftest import allowed, bundle, mine, project, run, submit

__all__ = ["allowed", "bundle", "mine", "project", "run", "submit"]

"""Fixtures for the tests of estimates."""

from tests.runtime.training.conftest import _restore_environment

__all__ = ["_restore_environment"]

"""Scenarios: functions that call SDK methods and commands on the shared platform."""

from tests.surface.scenarios import data, people, platform, projects, work

__all__ = ["data", "people", "platform", "projects", "work"]

"""Scenes: each calls some methods of the SDK and some commands against the shared platform."""

from tests.surface.scenes import data, people, platform, projects, work

__all__ = ["data", "people", "platform", "projects", "work"]

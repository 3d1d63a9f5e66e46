"""Scenes: the preparation of routes whose plain request can't succeed.

A scene prepares its world and returns a function that sends the request once. Routes need a scene
if they change something and no successful request can be generated from the OpenAPI document.
"""

from tests.matrix.scenes import datasets, people, work
from tests.matrix.scenes.scene import SCENES, Scene, wait_for_rows

__all__ = ["SCENES", "Scene", "datasets", "people", "wait_for_rows", "work"]

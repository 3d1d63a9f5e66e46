"""What must be there before a request can succeed, for routes that the plain request is not enough.

A scene prepares its world and returns the request, which is to be sent once. A route that changes
something and whose request can't be made from its description needs one.
"""

from tests.matrix.scenes import datasets, people, work
from tests.matrix.scenes.scene import SCENES, Scene, wait_for_rows

__all__ = ["SCENES", "Scene", "datasets", "people", "wait_for_rows", "work"]

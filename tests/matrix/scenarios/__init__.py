"""Scenarios: preparations for routes whose plain request can't succeed.

A scenario prepares its world and returns a function that sends the request once. A route needs a
scenario if it changes something and no successful request can be generated from the OpenAPI
document.
"""

from tests.matrix.scenarios import datasets, people, work
from tests.matrix.scenarios.scenario import SCENARIOS, Scenario, wait_for_rows

__all__ = ["SCENARIOS", "Scenario", "datasets", "people", "wait_for_rows", "work"]

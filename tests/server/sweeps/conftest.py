"""Fixtures of sweeps: those of experiments, and a function that creates sweeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.server.experiments.conftest import (
    base,
    config,
    create,
    dataset,
    hand,
    held_out,
    made,
    mine,
    owner,
    project,
    rows,
)

__all__ = [
    "base", "config", "create", "dataset", "hand", "held_out", "made", "mine", "owner", "project",
    "rows",
]  # fmt: skip

GRID = {
    "lora.rank": {"kind": "choice", "values": [4, 8]},
    "seed": {"kind": "int", "low": 1, "high": 2},
}


@pytest.fixture
def begin(mine: Api, project: Project, create: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that creates an experiment and a sweep of it.

    Its argument ``config`` changes the experiment's config.
    """

    def make(name: str = "search", *, config: dict[str, Any] | None = None, **spec: Any) -> Any:
        experiment = create(**(config or {})).json()["uuid"]
        body = {"experiment": experiment, "parameters": GRID, "method": "grid", **spec}
        return mine.post(f"projects/{project.uuid}/sweeps", json={"name": name, "spec": body})

    return make


def shown(mine: Api, uuid: str) -> Any:
    return mine.get(f"sweeps/{uuid}").json()


def states(mine: Api, uuid: str) -> list[str]:
    return [trial["state"] for trial in shown(mine, uuid)["trials"]]

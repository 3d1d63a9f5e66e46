"""Fixtures for experiments, and a function that creates sweeps."""

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
    held_out,
    made,
    manual_worker,
    owner,
    owner_api,
    project,
    rows,
)

__all__ = [
    "base",
    "config",
    "create",
    "dataset",
    "held_out",
    "made",
    "manual_worker",
    "owner",
    "owner_api",
    "project",
    "rows",
]  # fmt: skip

GRID = {
    "lora.rank": {"kind": "choice", "values": [4, 8]},
    "seed": {"kind": "int", "low": 1, "high": 2},
}


@pytest.fixture
def begin(owner_api: Api, project: Project, create: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that creates an experiment and a sweep over it.

    The function's argument ``config`` changes the experiment's config.
    """

    def make(name: str = "search", *, config: dict[str, Any] | None = None, **spec: Any) -> Any:
        experiment = create(**(config or {})).json()["uuid"]
        body = {"experiment": experiment, "parameters": GRID, "method": "grid", **spec}
        return owner_api.post(f"projects/{project.uuid}/sweeps", json={"name": name, "spec": body})

    return make


def shown(owner_api: Api, uuid: str) -> Any:
    return owner_api.get(f"sweeps/{uuid}").json()


def states(owner_api: Api, uuid: str) -> list[str]:
    return [trial["state"] for trial in shown(owner_api, uuid)["trials"]]

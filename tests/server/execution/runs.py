"""Helpers that start external runs, and send and read their metrics over HTTP."""

from typing import Any

from aiplatform.server.projects.models import Project
from tests.conftest import Api


def begin(api: Api, project: Project, **body: Any) -> Any:
    answer = api.post(f"projects/{project.uuid}/runs", json={"name": "baseline", **body})
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


def report(api: Api, run: str, *points: tuple[str, int, Any], **more: Any) -> Any:
    named = [dict(zip(("key", "step", "value"), point, strict=True)) for point in points]
    return api.post(f"tasks/{run}/metrics", json={"points": named, **more})


def values(api: Api, run: str, key: str = "loss") -> list[tuple[int, Any]]:
    series = api.get(f"tasks/{run}/metrics", params={"key": key}).json()["series"]
    return [(step, value) for step, value, _ in series.get(key, [])]

"""The addresses of all pages, taken from their route files, with parameters filled in."""

import re
from pathlib import Path

import httpx

ROUTES = Path(__file__).parents[2] / "ui" / "src" / "routes"
ENTRY = ("sign-in", "forgot-password", "reset-password", "invitation")
"""Pages for users who are not signed in."""
LEFT_OUT = frozenset({"sso", "password"})
"""Pages that only lead to another page."""

LISTS = {
    "dataset": "projects/{project}/datasets",
    "deployment": "projects/{project}/deployments",
    "evaluation": "projects/{project}/tasks?type=evaluation",
    "experiment": "projects/{project}/experiments",
    "model": "projects/{project}/models",
    "run": "projects/{project}/runs",
    "schedule": "projects/{project}/schedules",
    "sweep": "projects/{project}/sweeps",
    "role": "roles",
    "user": "users",
    "worker": "workers",
}
"""Paths of lists, keyed by the parameter that gets the first item of the list."""


def route_patterns() -> list[str]:
    """Return the patterns of all addresses, such as ``/p/$project/tasks/$task``."""
    patterns = set()
    for file in ROUTES.rglob("*.tsx"):
        path = file.relative_to(ROUTES).with_suffix("").as_posix()
        parts = [part for part in re.split(r"[/.]", path) if part not in {"_app", "index"}]
        if parts == ["__root"] or set(parts) & LEFT_OUT:
            continue
        patterns.add("/" + "/".join(parts))
    return sorted(patterns)


def page_patterns() -> list[str]:
    """Return the patterns of pages for signed-in users."""
    return [pattern for pattern in route_patterns() if pattern.strip("/") not in ENTRY]


def values(api: httpx.Client, project: str) -> dict[str, str]:
    """Return a value for each address parameter for which the project has an object."""
    found = {"project": project}
    for name, path in LISTS.items():
        answer = api.get(path.format(project=project))
        items = answer.json().get("items", []) if answer.is_success else []
        if items:
            found[name] = items[0]["uuid"]
    tasks = api.get(f"projects/{project}/tasks").json()["items"]
    # The page of a training task or external run shows the most.
    tasks.sort(key=lambda task: task["type"] not in {"training", "external"})
    if tasks:
        found["task"] = tasks[0]["uuid"]
    return found


def fill(pattern: str, known: dict[str, str]) -> str | None:
    """Return the address for a pattern, or None if one of its parameters has no value."""
    parts = pattern.split("/")
    if any(part.startswith("$") and part[1:] not in known for part in parts):
        return None
    return "/".join(known[part[1:]] if part.startswith("$") else part for part in parts)

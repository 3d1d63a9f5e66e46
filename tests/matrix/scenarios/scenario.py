"""The world and clients that a scenario uses, and the registry of all scenarios."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.conftest import Api
from tests.factories import (
    PASSWORD,
    make_task,
    make_user,
    number,
)
from tests.matrix.world import World, WorldFactory
from tests.openapi_checks import CheckedClient

Act = Callable[[], Any]
NEW_PASSWORD = "violet harbour engine 93"
ROWS = "".join(
    json.dumps({"id": n, "text": f"text {n} bob@gmail.com", "label": "ab"[n % 2]}) + "\n"
    for n in range(6)
)


@dataclass
class Scenario:
    """A world with clients for its users; closing ``until`` stops the scenario's servers."""

    client: CheckedClient
    session: Session
    worlds: WorldFactory
    world: World
    until: ExitStack

    def api(self, person: str) -> Api:
        """Return a client that is signed in as one of the world's users."""
        return Api(self.client, self.world.tokens[person])

    @property
    def owner(self) -> Api:
        return self.api("owner")

    @property
    def admin(self) -> Api:
        return self.api("admin")

    def path(self, name: str) -> str:
        """Return the path of the world's object of the given kind."""
        return f"{name}s/{self.world.params[name]}"

    def fresh(self) -> tuple[Any, Api]:
        """Create a user and sign them in; return the user and their client."""
        user = make_user(self.session)
        answer = Api(self.client, None).post(
            "auth/token", data={"username": user.username, "password": PASSWORD}
        )
        return user, Api(self.client, answer.json()["access_token"])

    def dataset(self) -> str:
        """Create a dataset with two versions through the API and return its path."""
        made = done(
            self.owner.post(
                f"{self.path('project')}/datasets",
                params={"name": f"rows{number()}", "filename": "rows.jsonl"},
                content=ROWS.encode(),
            )
        )
        where = f"datasets/{made.json()['uuid']}"
        more = json.dumps({"id": 9, "text": "nine", "label": "a"}) + "\n"
        params = {"filename": "more.jsonl", "mode": "append"}
        done(self.owner.post(f"{where}/versions", params=params, content=more.encode()))
        self.session.execute(
            text("UPDATE tasks SET status = 'completed' WHERE type = 'data_quality'")
        )
        self.session.commit()
        return where

    def task(self, status: str = "pending") -> str:
        """Create a task in the given state and return its path."""
        task = make_task(self.session, self.world.project, status=status)  # type: ignore[arg-type]
        return f"tasks/{task.uuid}"


def done(answer: Any) -> Any:
    """Return the response to a preparatory request; fail if it was not successful."""
    assert answer.is_success, (str(answer.request.url), answer.status_code, answer.text)
    return answer


SCENARIOS: dict[str, Callable[[Scenario], Act]] = {}


def scenario(key: str) -> Callable[[Callable[[Scenario], Act]], Callable[[Scenario], Act]]:
    """Register a scenario for a route, given as method and path below ``/api/v1``."""

    def add(make: Callable[[Scenario], Act]) -> Callable[[Scenario], Act]:
        method, _, place = key.partition(" ")
        SCENARIOS[f"{method} {place if place.startswith('/') else f'/api/v1/{place}'}"] = make
        return make

    return add


def wait_for_rows(count: Callable[[], int]) -> bool:
    """Wait up to 10 seconds until ``count`` returns more than 0; return True if it does."""
    deadline = time.monotonic() + 10
    while not count() and time.monotonic() < deadline:
        time.sleep(0.02)
    return count() > 0

"""What a scene is, and where each is found."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.conftest import Api
from tests.described import CheckedClient
from tests.factories import (
    PASSWORD,
    make_task,
    make_user,
    number,
)
from tests.matrix.world import Stage, World

Act = Callable[[], Any]
NEW_PASSWORD = "violet harbour engine 93"
ROWS = "".join(
    json.dumps({"id": n, "text": f"text {n} bob@gmail.com", "label": "ab"[n % 2]}) + "\n"
    for n in range(6)
)


@dataclass
class Scene:
    """A world, and what is told apart in it; ``until`` ends what was started for the scene."""

    client: CheckedClient
    session: Session
    stage: Stage
    world: World
    until: ExitStack

    def api(self, person: str) -> Api:
        """The API as one of the world's people."""
        return Api(self.client, self.world.tokens[person])

    @property
    def owner(self) -> Api:
        return self.api("owner")

    @property
    def admin(self) -> Api:
        return self.api("admin")

    def path(self, name: str) -> str:
        """Where the world's thing of that kind is."""
        return f"{name}s/{self.world.params[name]}"

    def fresh(self) -> tuple[Any, Api]:
        """An account of nobody else's, signed in."""
        user = make_user(self.session)
        answer = Api(self.client, None).post(
            "auth/token", data={"username": user.username, "password": PASSWORD}
        )
        return user, Api(self.client, answer.json()["access_token"])

    def dataset(self) -> str:
        """A dataset of six rows with two versions, made as people make them."""
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
        """Where a task in that state is."""
        task = make_task(self.session, self.world.project, status=status)  # type: ignore[arg-type]
        return f"tasks/{task.uuid}"


def done(answer: Any) -> Any:
    """What prepares must succeed."""
    assert answer.is_success, (str(answer.request.url), answer.status_code, answer.text)
    return answer


SCENES: dict[str, Callable[[Scene], Act]] = {}


def scene(key: str) -> Callable[[Callable[[Scene], Act]], Callable[[Scene], Act]]:
    """Declares the scene of a route, by method and path below ``/api/v1``."""

    def add(make: Callable[[Scene], Act]) -> Callable[[Scene], Act]:
        method, _, place = key.partition(" ")
        SCENES[f"{method} {place if place.startswith('/') else f'/api/v1/{place}'}"] = make
        return make

    return add


# Signing in


def wait_for_rows(count: Callable[[], int]) -> bool:
    """Whether there are some, if need be after a while."""
    deadline = time.monotonic() + 10
    while not count() and time.monotonic() < deadline:
        time.sleep(0.02)
    return count() > 0

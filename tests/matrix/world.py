"""Worlds: projects with one object of each kind, and users with different roles in them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import DeploymentStatus, TaskStatus, TaskType
from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.trainings import SftSpec
from aiplatform.server.core.storage import add_reference
from aiplatform.server.datasets.models import DatasetTag, DatasetUpload
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.registry.models import ModelAlias, ModelAliasMove
from aiplatform.server.schedules.models import Schedule
from aiplatform.server.sweeps.models import Sweep
from tests.factories import (
    make_binned_dataset,
    make_binned_project,
    make_blob,
    make_bundle,
    make_dataset,
    make_delivery,
    make_deployment,
    make_experiment,
    make_invitation,
    make_key,
    make_member,
    make_model,
    make_notification,
    make_project,
    make_project_invitation,
    make_report,
    make_role,
    make_rows,
    make_secret,
    make_session,
    make_task,
    make_token,
    make_user,
    make_version,
    make_view,
    make_webhook,
    make_worker,
)

PEOPLE = ("anonymous", "deactivated", "outsider", "viewer", "developer", "owner", "admin")
FILE = "weights/config.json"
_rows: dict[Path, Any] = {}


@dataclass
class World:
    """A project with its objects, and users with one token each.

    Attributes:
        people: users, keyed by the names in :data:`PEOPLE`.
        tokens: access tokens, keyed by the same names.
        params: path parameters that lead to the objects.
        project: the project.
        mark: word contained in every name in the project. A response to a user without access
            must not contain it.
        known: further values that must not appear in such a response.
    """

    people: dict[str, User | None]
    tokens: dict[str, str | None]
    params: dict[str, str]
    project: Project
    mark: str = ""
    known: set[str] = field(default_factory=set)


def resources(session: Session, project: Project, home: Path, mark: str) -> dict[str, str]:
    """Create one object of each kind in the project and return them as path parameters.

    Add new kinds of objects here.
    """

    def name(kind: str) -> str:
        return f"{kind}-{mark}-{uuid4().hex[:6]}"

    owner = session.get_one(User, project.owner_id)
    dataset = make_dataset(session, project, name=name("dataset"))
    if home not in _rows:
        _rows[home] = make_rows(session, home)
    version = make_version(session, dataset, file=_rows[home])
    make_report(session, version)
    upload = DatasetUpload(
        project_id=project.id,
        user_id=project.owner_id,
        length=5,
        facts={"name": name("upload")},
        status="committed",
        result={"dataset": str(dataset.uuid), "version": "v1"},
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )
    session.add(upload)
    session.flush()
    session.refresh(upload)
    session.add(DatasetTag(dataset_id=dataset.id, name="prod", version_id=version.id))
    content = f'{{"mark": "{mark}"}}'.encode()
    model = make_model(
        session, project, name=name("model"), files=[make_blob(session, content, FILE, home)]
    )
    alias = {"project_id": project.id, "model_name": model.name}
    newer = make_model(session, project, name=model.name, version="2")
    session.add(ModelAlias(name="prod", model_id=newer.id, **alias))
    session.add(
        ModelAliasMove(
            alias="prod",
            from_model_id=model.id,
            from_version="1",
            to_model_id=newer.id,
            to_version="2",
            **alias,
        )
    )
    rows = DatasetRef(dataset=dataset.uuid)
    config = SftSpec(base_model=model.uuid, dataset=rows, eval_dataset=rows)
    deployment = make_deployment(
        session,
        project,
        model,
        name=name("deployment"),
        status=DeploymentStatus.READY,
        endpoint=f"unix:{home}/nobody-listens.sock",
        endpoint_token="token",
    )
    task = make_task(
        session, project, name=name("task"), status=TaskStatus.COMPLETED, logs=f"log {mark}"
    )
    artifact = make_blob(session, content, FILE, home)
    add_reference(session, artifact, project_id=project.id, task_id=task.id)
    bundle = make_bundle(session, project, artifact, name=name("code"))
    experiment = make_experiment(session, project, name=name("experiment"), config=jsonable(config))
    run = make_task(
        session,
        project,
        name=name("run"),
        type=TaskType.TRAINING,
        status=TaskStatus.COMPLETED,
        experiment_id=experiment.id,
        model_id=model.id,
        config=jsonable(config),
    )
    estimate = make_task(
        session,
        project,
        name=name("estimate"),
        type=TaskType.ESTIMATE,
        status=TaskStatus.COMPLETED,
        config={"training": jsonable(config)},
    )
    sweep = Sweep(
        project_id=project.id,
        experiment_id=experiment.id,
        name=name("sweep"),
        spec={
            "experiment": str(experiment.uuid),
            "parameters": {"seed": {"kind": "choice", "values": [1]}},
        },
        status="running",
        created_by=project.owner_id,
    )
    session.add(sweep)
    session.flush()
    session.refresh(sweep)
    schedule = Schedule(
        project_id=project.id,
        name=name("schedule"),
        cron="30 2 * * *",
        timezone="UTC",
        action={"kind": "run", "experiment": str(experiment.uuid)},
        missed="run_once",
        overlap="skip",
        enabled=False,
        created_by=project.owner_id,
    )
    session.add(schedule)
    session.flush()
    session.refresh(schedule)
    member = make_member(session, project, "viewer", make_user(session, name("member")))
    webhook = make_webhook(session, project, name=name("webhook"))
    delivery = make_delivery(
        session, webhook, body=json.dumps({"mark": mark}), status="delivered", attempts=1
    )
    return {
        "webhook": str(webhook.uuid),
        "delivery": str(delivery.uuid),
        "project": str(project.uuid),
        "dataset": str(dataset.uuid),
        "version": "v1",
        "finding": "empty",
        "tag": "prod",
        "alias": "prod",
        "upload": str(upload.uuid),
        "task": str(task.uuid),
        "bundle": str(bundle.uuid),
        "experiment": str(experiment.uuid),
        "run": str(run.uuid),
        "estimate": str(estimate.uuid),
        "schedule": str(schedule.uuid),
        "sweep": str(sweep.uuid),
        "model": str(model.uuid),
        "deployment": str(deployment.uuid),
        "item": str(make_binned_dataset(session, project).uuid),
        "binned": str(make_binned_project(session, project).uuid),
        "path:path": FILE,
        "user": member.username,
        "worker": str(make_worker(session).uuid),
        "invitation": str(make_invitation(session, owner).uuid),
        "session": str(uuid4()),
        "role": make_role(session, "datasets:read").name,
        "secret": make_secret(session, project, name=name("secret")).name,
        "key": str(make_key(session, member, name=name("key")).uuid),
        "view": str(make_view(session, project, owner, name=name("view")).uuid),
    }


def _secrets(params: dict[str, str]) -> set[str]:
    """Return the values that only members may see.

    Roles are visible to everyone; versions, findings and file paths are the same in all projects.
    """
    return {
        value
        for name, value in params.items()
        if name not in {"role", "version", "finding", "path:path"}
    }


@contextmanager
def one_commit(session: Session) -> Iterator[None]:
    """Turn the factories' commits into flushes, and commit once at the end.

    Nothing is refreshed, because an INSERT returns the values that the database set.
    """
    commit, refresh = session.commit, session.refresh
    session.commit = session.flush  # type: ignore[method-assign]
    session.refresh = lambda *_: None  # type: ignore[method-assign,assignment,misc]
    try:
        yield
    finally:
        session.commit, session.refresh = commit, refresh  # type: ignore[method-assign]
    session.commit()


READING = {"GET", "HEAD", "OPTIONS"}
"""Methods of requests that change nothing."""
_shared: dict[tuple[Path, str], World] = {}


@dataclass
class WorldFactory:
    """A factory for worlds."""

    session: Session
    home: Path

    def share(self, name: str, *, objects: int = 1, **columns: Any) -> World:
        """Return the shared world with this name, for requests that change nothing.

        It is created once, with ``objects`` objects of each kind; the parameters lead to the last
        ones. Each caller gets a copy and may add parameters and a user's own objects to it.
        """
        key = self.home, name
        if key not in _shared:
            _shared[key] = self.create(**columns)
            for _ in range(objects - 1):
                self.refill(_shared[key])
        world = _shared[key]
        admin = world.people["admin"]
        assert admin is not None
        # All worlds share one administrator, who may have been signed out by another request.
        tokens = {**world.tokens, "admin": make_token(self.session, admin)}
        return replace(world, tokens=tokens, params=dict(world.params), known=set(world.known))

    def create(self, **columns: Any) -> World:
        """Create a project with one object of each kind, and users with one token each."""
        session = self.session
        mark = uuid4().hex[:10]
        with one_commit(session):
            project = make_project(
                session, make_user(session, f"owner-{mark}"), name=f"project-{mark}", **columns
            )
            inactive = make_user(session, active=False)
            people: dict[str, User | None] = {
                "anonymous": None,
                "deactivated": make_member(session, project, "developer", inactive),
                "outsider": make_user(session),
                "viewer": make_member(session, project, "viewer"),
                "developer": make_member(session, project, "developer"),
                "owner": session.get_one(User, project.owner_id),
                "admin": session.scalars(select(User).where(User.username == "admin")).one(),
            }
            tokens = {
                name: None if user is None else make_token(session, user)
                for name, user in people.items()
            }
            params = resources(session, project, self.home, mark)
        world = World(people, tokens, params, project, mark)
        world.known |= _secrets(params) - {"prod"}
        return world

    def refill(self, world: World) -> None:
        """Recreate all objects, because a request may have deleted some of them."""
        with one_commit(self.session):
            fresh = resources(self.session, world.project, self.home, world.mark)
        world.params |= fresh
        world.known |= _secrets(fresh) - {"prod"}

    def replace_project(self, world: World) -> None:
        """Replace the project, which a request may have deleted, with an empty one."""
        owner = world.people["owner"]
        world.params["project"] = str(make_project(self.session, owner).uuid)

    def add_personal_objects(self, world: World, person: str) -> None:
        """Create the user's own objects, such as a notification, an API key and a saved view."""
        user = world.people[person]
        assert user is not None
        world.params["notification"] = str(make_notification(self.session, user).uuid)
        world.params["session"] = str(make_session(self.session, user).uuid)
        world.params["key"] = str(make_key(self.session, user).uuid)
        world.params["secret"] = make_secret(self.session, user).name
        world.params["view"] = str(make_view(self.session, world.project, user, shared=False).uuid)
        world.params["invitation"] = str(make_project_invitation(self.session, user).uuid)

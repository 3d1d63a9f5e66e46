"""Attack: references to other projects, and secrets, as values in sweeps, gates and fixes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.sweeps.jobs import advance_all
from tests.conftest import Api
from tests.factories import (
    make_dataset,
    make_key,
    make_member,
    make_model,
    make_project,
    make_rows,
    make_secret,
    make_user,
    make_version,
)
from tests.server.sweeps.conftest import (
    GRID,
    base,
    begin,
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
    "begin",
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


@pytest.fixture
def foreign(session: Session, tmp_path: Any) -> dict[str, str]:
    """Create a dataset and a model in another user's project and return their uuids."""
    theirs = make_project(session)
    row = make_dataset(session, theirs)
    make_version(session, row, file=make_rows(session, tmp_path))
    model = make_model(session, theirs)
    session.commit()
    return {"dataset": str(row.uuid), "model": str(model.uuid)}


REASON = "agreed for the sake of an attack"


def tasks_of(session: Session, project: Project) -> list[Task]:
    session.expire_all()
    return list(session.scalars(select(Task).where(Task.project_id == project.id)))


SWEPT = [
    ("dataset.dataset", "dataset"), ("eval_dataset.dataset", "dataset"), ("base_model", "model"),
    ("dataset.dataset", "model"), ("base_model", "dataset"),
]  # fmt: skip


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(("path", "kind"), SWEPT)
def test_sweep_with_reference_to_another_project_is_refused(
    session: Session, project: Project, begin: Callable[..., Any], owner_api: Api,
    base: Any, dataset: Any, held_out: Any, foreign: dict[str, str],
    path: str, kind: str, place: int,
) -> None:  # fmt: skip
    own = {
        "base_model": str(base.uuid), "dataset.dataset": str(dataset.uuid),
        "eval_dataset.dataset": str(held_out.uuid),
    }[path]  # fmt: skip
    values = [own]
    values.insert(place, foreign[kind])
    answer = begin(parameters={path: {"kind": "choice", "values": values}})
    assert (answer.status_code, answer.json()["code"]) == (422, "sweep.invalid_value"), answer.text
    assert path in answer.json()["detail"]
    assert foreign[kind] in answer.json()["detail"]
    assert tasks_of(session, project) == []


@pytest.mark.parametrize(
    ("path", "values", "said"),
    [
        ("base_model", [str(uuid4())], "no such model"),
        ("dataset.dataset", [str(uuid4())], "no such dataset"),
        ("dataset.version", ["v1", "v99"], "v99"),
        ("learning_rate", [1e-4, -1.0], "-1.0"),
        ("learning_rate", [-1.0, 1e-4], "greater than 0"),
        ("lora.rank", [8, 5000], "at most 1024"),
        ("base_model", ["no uuid"], "no uuid"),
    ],
)
def test_sweep_with_invalid_value_is_refused(
    session: Session, project: Project, begin: Callable[..., Any], path: str, values: list[Any],
    said: str,
) -> None:  # fmt: skip
    answer = begin(parameters={path: {"kind": "choice", "values": values}})
    assert (answer.status_code, answer.json()["code"]) == (422, "sweep.invalid_value"), answer.text
    assert all(part in answer.json()["detail"] for part in (path, said)), answer.text
    assert tasks_of(session, project) == []


def test_sweep_with_range_beyond_the_bounds_is_refused(begin: Callable[..., Any]) -> None:
    rank = {"kind": "int", "low": 8, "high": 5000}
    answer = begin(parameters={"lora.rank": rank}, method="random")
    assert (answer.status_code, answer.json()["code"]) == (422, "sweep.invalid_value")
    assert "5000" in answer.json()["detail"]


def test_sweep_with_references_of_own_project_runs_them(
    session: Session, project: Project, begin: Callable[..., Any], dataset: Any, held_out: Any
) -> None:
    values = [str(dataset.uuid), str(held_out.uuid)]
    answer = begin(parameters={"dataset.dataset": {"kind": "choice", "values": values}})
    assert answer.status_code == 201, answer.text
    advance_all()
    read = {task.config["dataset"]["dataset"] for task in tasks_of(session, project)}
    assert read == set(values)


@pytest.mark.parametrize("value", ["../../etc/passwd", "\u0000", "a" * 5000, "{{secrets.hub}}"])
@pytest.mark.parametrize("path", ["base_model", "dataset.dataset", "dataset.version"])
def test_sweep_with_text_as_reference_starts_no_task(
    session: Session, project: Project, begin: Callable[..., Any], path: str, value: str
) -> None:
    answer = begin(parameters={path: {"kind": "choice", "values": [value]}})
    assert answer.status_code in {201, 404, 422}, answer.text
    if answer.status_code == 201:
        advance_all()
    assert tasks_of(session, project) == []


@pytest.mark.parametrize(
    "path",
    [
        "secrets.hub", "secrets.HF_TOKEN", "secrets", "type", "__class__", "dataset.__class__",
        "override_gate", "lora.__init__.__globals__", "..", "dataset..dataset", "resources.secrets",
    ],
)  # fmt: skip
def test_sweep_over_secrets_or_internals_is_refused(
    session: Session, project: Project, owner: User, begin: Callable[..., Any], path: str
) -> None:
    make_secret(session, owner, "s3cr3t-value", name="mine")
    answer = begin(parameters={path: {"kind": "choice", "values": ["mine", "other"]}})
    assert answer.status_code == 422, answer.text
    assert "s3cr3t-value" not in answer.text
    assert tasks_of(session, project) == []


def test_sweep_with_secret_by_key_without_secrets_scope_is_refused(
    client: Any, session: Session, project: Project, owner: User, create: Callable[..., Any]
) -> None:
    make_secret(session, owner, "s3cr3t-value", name="mine")
    made = create(secrets={"HF_TOKEN": "mine"})
    assert made.status_code == 201, made.text
    token = f"aip_key_{uuid4().hex}"
    make_key(session, owner, "training:*", "tasks:*", "datasets:*", "models:*", token=token)
    spec = {"experiment": made.json()["uuid"], "parameters": GRID, "method": "grid"}
    answer = Api(client, token).post(
        f"projects/{project.uuid}/sweeps", json={"name": "s", "spec": spec}
    )
    assert answer.status_code == 403, answer.text
    assert "secrets:use" in answer.json()["detail"]
    assert tasks_of(session, project) == []


@pytest.mark.parametrize("field", ["evaluation", "benchmarks"])
def test_gate_with_dataset_of_another_project_is_refused(
    owner_api: Api, project: Project, foreign: dict[str, str], field: str
) -> None:
    for uuid in foreign.values():
        answer = owner_api.put(
            f"projects/{project.uuid}/dataset-gate", json={field: [{"dataset": uuid}]}
        )
        assert answer.status_code == 404, answer.text


def test_fix_of_dataset_of_another_project_gets_404(
    owner_api: Api, foreign: dict[str, str]
) -> None:
    answer = owner_api.post(
        f"datasets/{foreign['dataset']}/fix", json={"fixes": {"duplicates": "deduplicate"}}
    )
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("more", [{"against": "dataset"}, {"base_model": "model"}], ids=str)
def test_fix_with_further_reference_is_refused(
    owner_api: Api, dataset: Any, foreign: dict[str, str], more: dict[str, str]
) -> None:
    """Check that a request can't choose the comparison data of a fix; the report names them."""
    ((field, kind),) = more.items()
    value: Any = foreign[kind]
    if field == "against":
        value = [{"dataset": value, "role": "evaluation"}]
    answer = owner_api.post(
        f"datasets/{dataset.uuid}/fix",
        json={"fixes": {"duplicates": "deduplicate"}, field: value},
    )
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "finding",
    ["(a+)+$", "((.*)*)*x" + "a" * 40, "duplicates\u0000", "a" * 100_000, "\u202eexe", "%s%s%n"],
    ids=lambda text: repr(text[:12]),
)
def test_finding_name_with_pattern_or_unusual_characters_is_refused(
    owner_api: Api, project: Project, dataset: Any, finding: str
) -> None:
    limit = {"finding": finding, "max_count": 0}
    gate = owner_api.put(f"projects/{project.uuid}/dataset-gate", json={"limits": [limit]})
    assert gate.status_code == 422, gate.text
    fix = owner_api.post(f"datasets/{dataset.uuid}/fix", json={"fixes": {finding: "deduplicate"}})
    assert fix.status_code == 422, fix.text


@pytest.mark.parametrize("role", ["viewer", "developer"])
def test_override_of_gate_without_permission_is_refused(
    api: Callable[..., Api], session: Session, owner_api: Api, project: Project,
    create: Callable[..., Any], role: str,
) -> None:  # fmt: skip
    uuid = create().json()["uuid"]
    user = make_user(session)
    make_member(session, project, role, user)
    theirs = api(user)
    spec = {"experiment": uuid, "parameters": GRID, "method": "grid", "override_gate": REASON}
    sweep = theirs.post(f"projects/{project.uuid}/sweeps", json={"name": "s", "spec": spec})
    run = theirs.post(f"experiments/{uuid}/runs", json={"override_gate": REASON})
    assert (sweep.status_code, run.status_code) == (403, 403), (sweep.text, run.text)
    assert tasks_of(session, project) == []

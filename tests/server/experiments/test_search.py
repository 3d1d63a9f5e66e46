"""Tests of searches, tags, notes, archiving, clones, comparisons, records and reruns over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.messages import Metrics
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.execution.service import attempts
from aiplatform.server.experiments.models import Experiment, ExperimentDetails
from aiplatform.server.experiments.queries import search
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from tests.conftest import Api
from tests.factories import make_dataset, make_experiment, make_project, make_version
from tests.server.experiments.manual_worker import ManualWorker

Create = Callable[..., Any]


@pytest.fixture
def many(session: Session, project: Project) -> list[Experiment]:
    """Create four experiments with losses of 0.5, 1.0, 1.5 and NaN, and one without a loss."""
    losses: list[Any] = [0.5, 1.0, 1.5, "NaN", None]
    return [
        make_experiment(
            session,
            project,
            name=f"e{place}",
            config={"lora": {"rank": 8 if place % 2 else 16}, "precision": "bf16", "seed": place},
            metrics={} if loss is None else {"eval_loss": loss, "runs": [{"eval_loss": 9}]},
        )
        for place, loss in enumerate(losses)
    ]


def names(api: Api, project: Project, what: str = "experiments", **params: Any) -> list[str]:
    answer = api.get(f"projects/{project.uuid}/{what}", params=params)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


def all_pages(api: Api, project: Project, what: str = "experiments", **params: Any) -> list[str]:
    """Return the names on all pages of a list, in order."""
    found: list[str] = []
    while True:
        answer = api.get(f"projects/{project.uuid}/{what}", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.eval_loss < 1.5", "e1 e0"),
        ("metrics.eval_loss <= 1.5 and config.lora.rank = 16", "e2 e0"),
        ("metrics.eval_loss > 0", "e2 e1 e0"),
        ("metrics.eval_loss = nan", "e3"),
        ("metrics.eval_loss > nan or metrics.eval_loss <= nan", ""),
        ("metrics.eval_loss != 0.5", "e3 e2 e1"),
        ("not metrics.eval_loss = 0.5", "e4 e3 e2 e1"),
        ("config.lora.rank in (8, 9)", "e3 e1"),
        ('config.precision = "bf16" and config.seed >= 3', "e4 e3"),
        ('config.precision contains "F1" and name in ("e1", "e4")', "e4 e1"),
        ('created < "2020-01-01"', ""),
        ('created > "2020-01-01" and status = "pending"', "e4 e3 e2 e1 e0"),
        ("metrics.nothing = 1 or config.seed = 2", "e2"),
    ],
)
def test_filter_finds_matching_experiments(
    owner_api: Api, project: Project, many: list[Experiment], text: str, expected: str
) -> None:
    assert names(owner_api, project, filter=text) == expected.split()


@pytest.mark.parametrize("window", [1, 2, 100])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.eval_loss < 1.5", "e1 e0"),
        ("not metrics.eval_loss = 0.5", "e4 e3 e2 e1"),
        ("config.lora.rank = 16 or metrics.nothing = 1", "e4 e2 e0"),
        ('config.precision = "bf16" and config.seed <= 3 and archived = false', "e3 e2 e1 e0"),
        ('metrics.eval_loss = nan or name = "e0"', "e3 e0"),
    ],
)
def test_filter_result_does_not_depend_on_the_window(
    owner_api: Api, project: Project, many: list[Experiment], monkeypatch: pytest.MonkeyPatch,
    window: int, text: str, expected: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(search, "WINDOW", window)
    for limit in (1, 2, 3):
        assert all_pages(owner_api, project, filter=text, limit=limit) == expected.split()


def test_filter_on_unknown_figure_is_refused_with_similar_names(
    owner_api: Api, project: Project, many: list[Experiment]
) -> None:
    def ask(text: str) -> Any:
        return owner_api.get(f"projects/{project.uuid}/experiments", params={"filter": text})

    answer = ask("metrics.eval_los < 1")
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid_filter")
    assert "nothing in this project has metrics.eval_los" in answer.json()["detail"]
    assert "metrics.eval_loss" in answer.json()["detail"]
    assert "(at character 1)" in answer.json()["detail"]
    assert ask("metrics.runs.eval_loss = 9").status_code == 422  # lists are not searchable
    # A known metric without a match gives an empty page. An unknown metric is accepted if another
    # condition of an "or" matches.
    assert ask("metrics.eval_loss < -1").json()["items"] == []
    assert ask('name = "e1" or metrics.eval_los < 1').status_code == 200


def test_filter_by_present_or_missing_figure(
    owner_api: Api, project: Project, many: list[Experiment]
) -> None:
    assert names(owner_api, project, filter="metrics.eval_loss missing") == ["e4"]
    assert len(names(owner_api, project, filter="metrics.eval_loss present")) == 4
    assert names(owner_api, project, filter="name missing") == []


@pytest.mark.parametrize(
    ("text", "position"),
    [("metrics.loss <", 15), ("nme = 1", 1), ("name < 3", 1), ('metrics.x < "a"', 1),
     ('created > "soon"', 1), ("a = 1 or tags = 2", 10), ('name has "x"', 1)],
)  # fmt: skip
def test_invalid_filter_is_refused_with_position(
    owner_api: Api, project: Project, text: str, position: int
) -> None:
    answer = owner_api.get(f"projects/{project.uuid}/experiments", params={"filter": text})
    assert answer.status_code == 422
    assert answer.json()["code"] == "request.invalid_filter"
    if text != "a = 1 or tags = 2":
        assert answer.json()["position"] == position


def test_sort_by_figure_is_consistent_across_pages(
    owner_api: Api, project: Project, many: list[Experiment]
) -> None:
    for sort, expected in (
        ("metrics.eval_loss", "e0 e1 e2 e4 e3"),
        ("-metrics.eval_loss", "e2 e1 e0 e4 e3"),
        ("config.seed", "e0 e1 e2 e3 e4"),
        ("created", "e0 e1 e2 e3 e4"),
        (None, "e4 e3 e2 e1 e0"),
    ):
        for limit in (1, 2, 3, 5):
            params = {"limit": limit} if sort is None else {"limit": limit, "sort": sort}
            assert all_pages(owner_api, project, **params) == expected.split(), (sort, limit)
    answer = owner_api.get(f"projects/{project.uuid}/experiments", params={"sort": "colour"})
    assert answer.json()["code"] == "request.invalid_filter"
    for cursor in ("WyJuIiwieCIsMV0", "WyJuIiwiMSIsLTFd", "W10"):
        params = {"sort": "metrics.eval_loss", "cursor": cursor}
        answer = owner_api.get(f"projects/{project.uuid}/experiments", params=params)
        assert answer.json()["code"] == "request.invalid_cursor"


def test_sort_with_filter_on_other_field(
    session: Session, owner_api: Api, project: Project, many: list[Experiment]
) -> None:
    for text, expected in (
        ("config.lora.rank = 16", "e2 e0 e4"),
        ('name in ("e0", "e2", "e3")', "e2 e0 e3"),
        ('created > "2020-01-01" and not name = "e1"', "e2 e0 e4 e3"),
        ('tags has "x" or archived = true', ""),
        ('author = "nobody"', ""),
        ('not tags has "x" and metrics.eval_loss != 0.5', "e2 e1 e3"),
    ):
        for what in ("experiments", "runs"):
            if what == "runs" and "archived" in text:
                continue
            found = names(owner_api, project, what, filter=text, sort="-metrics.eval_loss")
            assert found == (expected.split() if what == "experiments" else []), (what, text)
    hidden = session.get_one(ExperimentDetails, many[2].id)
    hidden.archived_at = many[2].created_at
    session.commit()
    sort = {"sort": "-metrics.eval_loss"}
    assert names(owner_api, project, **sort) == ["e1", "e0", "e4", "e3"]
    assert names(owner_api, project, archived=True, **sort) == ["e2"]
    assert names(owner_api, project, name="e2", **sort) == ["e2"]


def test_search_sees_changes_and_only_its_own_project(
    session: Session, owner_api: Api, project: Project, many: list[Experiment]
) -> None:
    make_experiment(session, make_project(session), metrics={"eval_loss": 0.1}, name="theirs")
    session.execute(
        update(Experiment).where(Experiment.id == many[0].id).values(metrics={"eval_loss": 7})
    )
    session.commit()
    assert names(owner_api, project, filter="metrics.eval_loss > 6") == ["e0"]
    assert names(owner_api, project, filter="metrics.eval_loss < 0.6") == []


def test_huge_numbers_and_odd_documents_are_accepted(
    session: Session, owner_api: Api, project: Project
) -> None:
    odd = {"big": 10**400, "deep": {"a": {"b": {"c": 1}}}, "": 2, "none": None, "list": [1]}
    make_experiment(session, project, name="odd", metrics={**odd, "x" * 400: 1})
    assert names(owner_api, project, filter="metrics.deep.a.b.c = 1") == ["odd"]
    # The number exceeds double precision, so it is not searchable.
    answer = owner_api.get(f"projects/{project.uuid}/experiments?filter=metrics.big > 0")
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid_filter")


def test_tags_note_and_archive_are_changed_and_audited(
    session: Session, owner_api: Api, project: Project, create: Create
) -> None:
    made = create(name="tagged").json()
    assert (made["tags"], made["note"], made["archived_at"]) == ([], None, None)
    path = f"experiments/{made['uuid']}"
    change = {"tags": ["prod", "a b", "prod"], "note": "# Why\n\nBecause."}
    changed = owner_api.patch(path, json=change, headers={"If-Match": "*"}).json()
    assert (changed["tags"], changed["note"]) == (["a b", "prod"], "# Why\n\nBecause.")
    assert changed["updated_at"] != made["updated_at"]
    assert names(owner_api, project, filter='tags has "prod"') == ["tagged"]
    assert names(owner_api, project, filter='tags has "pro"') == []
    assert owner_api.patch(path, json={"tags": [""]}, headers={"If-Match": "*"}).status_code == 422

    archived = owner_api.patch(path, json={"archived": True}, headers={"If-Match": "*"}).json()
    assert archived["archived_at"] is not None
    assert names(owner_api, project) == []
    assert names(owner_api, project, archived=True) == ["tagged"]
    assert names(owner_api, project, name="tagged") == ["tagged"]
    assert names(owner_api, project, filter="archived = true") == ["tagged"]
    refused = owner_api.post(f"{path}/runs")
    assert (refused.status_code, refused.json()["code"]) == (409, "experiment.archived")
    back = owner_api.patch(path, json={"archived": False}, headers={"If-Match": "*"}).json()
    assert back["archived_at"] is None
    actions = session.scalars(
        select(AuditLog.action).where(AuditLog.resource_id == made["uuid"]).order_by(AuditLog.id)
    ).all()
    assert actions == ["experiment:created", "experiment:updated", "experiment:archived",
                       "experiment:unarchived"]  # fmt: skip


def test_clone_copies_config_with_changes(owner_api: Api, create: Create) -> None:
    made = create(name="first", lora={"rank": 16, "alpha": 4}).json()
    path = f"experiments/{made['uuid']}"
    owner_api.patch(path, json={"tags": ["x"], "note": "n"}, headers={"If-Match": "*"})
    changes = {"lora.rank": 8, "max_steps": 3}
    clone = owner_api.post(f"{path}/clone", json={"changes": changes}).json()
    assert (clone["name"], clone["cloned_from"]) == ("first (copy)", made["uuid"])
    assert (clone["tags"], clone["note"]) == (["x"], "n")
    assert (clone["config"]["lora"]["rank"], clone["config"]["lora"]["alpha"]) == (8, 4)
    assert clone["config"]["max_steps"] == 3
    refused = owner_api.post(f"{path}/clone", json={"changes": {"lora.rnk": 8}})
    assert (refused.status_code, refused.json()["code"]) == (422, "experiment.invalid_config")
    assert "lora.rnk" in refused.json()["detail"]


class TestRuns:
    @pytest.fixture
    def two(
        self, owner_api: Api, create: Create, manual_worker: ManualWorker, made: list[StoredFile]
    ) -> list[dict[str, Any]]:
        """Create two experiments with completed runs that have figures and records."""
        found = []
        for rank, loss in ((8, 1.5), (16, 1.0)):
            uuid = create(name=f"rank {rank}", lora={"rank": rank}).json()["uuid"]
            git = {"commit": "abc1234", "branch": "main", "dirty": True}
            found.append(owner_api.post(f"experiments/{uuid}/runs", json={"git": git}).json())
            claim = manual_worker.take()
            with transaction() as session:
                attempts.write_telemetry(
                    session,
                    claim,
                    metrics=[Metrics(step=n, values={"loss": 3.0 - n}) for n in range(3)],
                    events=[("environment", {"python": "3", "packages": {"torch": "2"}})],
                )
            manual_worker.complete(claim, {"eval_loss": loss, "train_loss_last": loss}, made)
        return found

    def test_runs_are_searched_across_experiments(
        self, owner_api: Api, project: Project, two: list[dict[str, Any]]
    ) -> None:
        names_of = {"filter": "metrics.loss = 1 and config.lora.rank > 4"}
        assert names(owner_api, project, "runs", **names_of) == ["rank 16 #1", "rank 8 #1"]
        assert all_pages(owner_api, project, "runs", limit=1, **names_of) == [
            "rank 16 #1",
            "rank 8 #1",
        ]
        assert names(owner_api, project, "runs", filter="metrics.eval_loss < 1.2") == ["rank 16 #1"]
        assert names(owner_api, project, "runs", filter='experiment = "rank 8"') == ["rank 8 #1"]
        assert names(owner_api, project, "runs", sort="-metrics.eval_loss") == [
            "rank 8 #1",
            "rank 16 #1",
        ]
        sort = {"sort": "metrics.eval_loss"}
        mine_too = 'experiment = "rank 8" and name contains "8" and status = "completed"'
        assert names(owner_api, project, "runs", filter=mine_too, **sort) == ["rank 8 #1"]
        assert names(owner_api, project, "runs", filter='author = "nobody"', **sort) == []

    def test_record_and_model_card_of_run(
        self, owner_api: Api, two: list[dict[str, Any]], dataset: Any, base: Any
    ) -> None:
        run = owner_api.get(f"runs/{two[0]['uuid']}").json()
        record = run["record"]
        assert record["seed"] == record["config"]["seed"] == 42
        assert record["config"]["dataset"]["version"] == "v1"
        by_role = {item["role"]: item for item in record["inputs"]}
        assert by_role["dataset"]["label"] == f"{dataset.name}@v1"
        assert all(len(item["sha256"]) == 64 for item in by_role.values())
        assert record["git"]["commit"] == "abc1234"
        assert record["environment"]["packages"] == {"torch": "2"}
        card = owner_api.get(f"models/{run['model']}").json()["facts"]["reproducibility"]
        assert (card["seed"], card["git"]["dirty"]) == (42, True)
        assert card["environment"]["python"] == "3"

    def test_rerun_repeats_the_config_of_the_run(
        self,
        session: Session,
        owner_api: Api,
        two: list[dict[str, Any]],
        manual_worker: ManualWorker,
    ) -> None:
        first = two[0]
        owner_api.patch(
            f"experiments/{first['experiment']}",
            json={"config": {**first["config"], "seed": 1}},
            headers={"If-Match": "*"},
        )
        again = owner_api.post(f"runs/{first['uuid']}/rerun")
        assert again.status_code == 202, again.text
        assert again.json()["config"] == first["config"]
        assert again.json()["name"] == "rank 8 #1 (rerun)"
        read = owner_api.get(f"runs/{again.json()['uuid']}").json()
        assert read["rerun_of"] == first["uuid"]
        assert read["record"]["git"]["commit"] == "abc1234"
        manual_worker.fail(manual_worker.take())
        retried = owner_api.post(f"tasks/{again.json()['uuid']}/retry").json()
        read = owner_api.get(f"runs/{retried['uuid']}").json()
        assert (read["rerun_of"], read["record"]["git"]["branch"]) == (first["uuid"], "main")

        row = session.scalars(select(Task).where(Task.uuid == first["uuid"])).one()
        session.execute(
            update(TaskInput)
            .where(TaskInput.task_id == row.id, TaskInput.role == "base_model")
            .values(content_hash="0" * 64)
        )
        session.commit()
        refused = owner_api.post(f"runs/{first['uuid']}/rerun")
        assert (refused.status_code, refused.json()["code"]) == (409, "run.not_repeatable")

    def test_retry_is_a_run(
        self, owner_api: Api, project: Project, create: Create, manual_worker: ManualWorker
    ) -> None:
        uuid = create().json()["uuid"]
        run = owner_api.post(f"experiments/{uuid}/runs").json()
        manual_worker.fail(manual_worker.take())
        path = f"experiments/{uuid}"
        etag = owner_api.get(path).headers["ETag"]
        put = owner_api.patch(path, json={"archived": True}, headers={"If-Match": etag})
        assert put.status_code == 200, put.text
        refused = owner_api.post(f"tasks/{run['uuid']}/retry")
        assert (refused.status_code, refused.json()["code"]) == (409, "experiment.archived")
        owner_api.patch(path, json={"archived": False}, headers={"If-Match": put.headers["ETag"]})
        retried = owner_api.post(f"tasks/{run['uuid']}/retry")
        assert retried.status_code in {200, 201, 202}
        assert len(names(owner_api, project, "runs")) == 2
        assert owner_api.get(path).json()["status"] == "pending"

    def test_comparison_lists_common_and_differing_values(
        self, session: Session, owner_api: Api, project: Project, two: list[dict[str, Any]]
    ) -> None:
        params = {"run": [run["uuid"] for run in two], "experiment": [two[0]["experiment"]]}
        answer = owner_api.get(f"projects/{project.uuid}/comparison", params=params).json()
        assert [item["name"] for item in answer["items"]] == ["rank 8", "rank 8 #1", "rank 16 #1"]
        assert answer["items"][0]["run"] == two[0]["uuid"]
        assert answer["differs"]["lora.rank"] == [8, 8, 16]
        assert answer["same"]["lora.alpha"] == 32
        assert answer["metrics"]["eval_loss"] == [1.5, 1.5, 1.0]
        assert answer["series"] == ["loss"]
        other = make_experiment(session, make_project(session))
        params = {"experiment": [str(other.uuid)]}
        assert (
            owner_api.get(f"projects/{project.uuid}/comparison", params=params).status_code == 404
        )


def test_clone_with_another_method_drops_the_fields_of_the_former_one(
    session: Session,
    owner_api: Api,
    create: Callable[..., Any],
    project: Project,
    rows: Callable[[str], StoredFile],
) -> None:
    pairs = make_dataset(session, project)
    make_version(session, pairs, file=rows("pairs"), shape="preference")
    made = create(loss="last", neftune_alpha=5.0, lora={"rank": 4}).json()
    path = f"experiments/{made['uuid']}/clone"
    changes = {"method": "dpo", "dataset": {"dataset": str(pairs.uuid)}, "eval_dataset": None}
    answer = owner_api.post(path, json={"changes": changes})
    assert answer.status_code == 201, answer.text
    assert answer.json()["task_type"] == "dpo"
    config = answer.json()["config"]
    assert (config["method"], config["lora"]["rank"], config["beta"]) == ("dpo", 4, 0.1)
    assert "loss" not in config
    refused = owner_api.post(path, json={"changes": {**changes, "loss": "all"}})
    assert (refused.status_code, refused.json()["code"]) == (422, "experiment.invalid_config")

"""Tests of experiments over HTTP: create, change, delete, and permissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ModelStatus
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.models import Dataset, DatasetVersionDetails, QualityReport
from aiplatform.server.experiments.models import ExperimentDetails
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import (
    make_dataset,
    make_member,
    make_model,
    make_project,
    make_user,
    make_version,
)
from tests.server.experiments.manual_worker import ManualWorker

Create = Callable[..., Any]
Act = Callable[[User | None], Api]


class TestCreate:
    def test_create_stores_experiment_and_audit_entry(
        self, session: Session, create: Create, project: Project, base: Model
    ) -> None:
        answer = create(name="FAQ", lora={"rank": 4})
        assert answer.status_code == 201, answer.text
        shown = answer.json()
        assert shown["name"] == "FAQ"
        assert shown["project"] == str(project.uuid)
        assert shown["base_model"] == f"{base.name}@1"
        assert (shown["task_type"], shown["status"]) == ("sft", "pending")
        assert shown["config"]["lora"]["rank"] == 4
        assert shown["config"]["learning_rate"] == 2e-4
        assert shown["metrics"] == {}
        row = session.scalars(select(AuditLog).where(AuditLog.resource_id == shown["uuid"])).one()
        assert row.action == "experiment:created"
        details = session.scalars(
            select(ExperimentDetails).where(ExperimentDetails.base_model_id == base.id)
        ).one()
        assert details.created_by == project.owner_id

    def test_create_does_not_pin_dataset_versions(self, create: Create) -> None:
        assert create().json()["config"]["dataset"]["version"] is None

    @pytest.mark.parametrize("field", ["base_model", "dataset", "eval_dataset"])
    def test_create_with_model_or_dataset_of_other_project_is_not_found(
        self, session: Session, create: Create, rows: Callable[[str], StoredFile], field: str
    ) -> None:
        other = make_project(session)
        foreign: Model | Dataset
        if field == "base_model":
            foreign = make_model(session, other)
        else:
            foreign = make_dataset(session, other)
            make_version(session, foreign, file=rows("theirs"))
        for uuid in (str(foreign.uuid), str(uuid4())):
            answer = create(**{field: uuid if field == "base_model" else {"dataset": uuid}})
            assert (answer.status_code, answer.json()["code"]) == (404, "resource.not_found")

    def test_create_with_unknown_version_is_not_found(
        self, create: Create, dataset: Dataset
    ) -> None:
        answer = create(dataset={"dataset": str(dataset.uuid), "version": "v7"})
        assert answer.status_code == 404

    def test_create_with_base_model_that_is_not_ready_is_refused(
        self, session: Session, create: Create, project: Project
    ) -> None:
        pending = make_model(session, project, status=ModelStatus.PENDING)
        answer = create(base_model=str(pending.uuid))
        assert (answer.status_code, answer.json()["code"]) == (409, "model.not_ready")

    @pytest.mark.parametrize("role", ["dataset", "eval_dataset"])
    def test_create_with_preference_pairs_is_refused_with_mapping_command(
        self,
        session: Session,
        create: Create,
        project: Project,
        rows: Callable[[str], StoredFile],
        role: str,
    ) -> None:
        pairs = make_dataset(session, project, name="pairs")
        made = make_version(session, pairs, file=rows("pairs"), shape="preference")
        answer = create(**{role: {"dataset": str(pairs.uuid)}})
        assert (answer.status_code, answer.json()["code"]) == (422, "dataset.not_trainable")
        assert "`aiplatform datasets map pairs chosen=messages`" in answer.json()["detail"]
        details = session.get_one(DatasetVersionDetails, made.id)
        details.columns = [{"name": name, "type": "text"} for name in ("prompt", "chosen")]
        session.commit()
        answer = create(**{role: {"dataset": str(pairs.uuid)}})
        assert "`aiplatform datasets map pairs chosen=completion`" in answer.json()["detail"]

    def test_create_with_preference_pairs_for_a_method_that_reads_them(
        self,
        session: Session,
        create: Create,
        project: Project,
        rows: Callable[[str], StoredFile],
    ) -> None:
        pairs = make_dataset(session, project, name="pairs")
        make_version(session, pairs, file=rows("pairs"), shape="preference")
        chosen = {"dataset": {"dataset": str(pairs.uuid)}, "eval_dataset": None}
        answer = create(method="dpo", beta=0.2, **chosen)
        assert answer.status_code == 201, answer.text
        shown = answer.json()
        assert (shown["task_type"], shown["config"]["beta"]) == ("dpo", 0.2)
        refused = create(**chosen).json()["detail"]
        assert "choose the method dpo or orpo or reward" in refused

    def test_create_with_rewards(self, create: Create, owner_api: Api) -> None:
        rewards: list[dict[str, Any]] = [
            {"kind": "contains", "weight": 2},
            {"kind": "json_schema", "json_schema": {"type": "object"}},
        ]
        answer = create(method="grpo", rewards=rewards, beta=0)
        assert answer.status_code == 201, answer.text
        shown = answer.json()
        assert shown["task_type"] == "grpo"
        assert [one["weight"] for one in shown["config"]["rewards"]] == [2, 1]
        assert owner_api.post(f"experiments/{shown['uuid']}/runs", json={}).status_code == 202

        refused = create(method="grpo", rewards=[{"kind": "regex", "pattern": "("}])
        assert (refused.status_code, refused.json()["code"]) == (422, "request.invalid")
        assert "the pattern '(' is not a regular expression of Python" in refused.text
        elsewhere = {"$ref": "http://127.0.0.1:8400/api/v1/health"}
        for schema, reason in ({"type": "nothing"}, '"nothing"'), (elsewhere, "is disabled"):
            rewards[1] = {"kind": "json_schema", "json_schema": schema}
            refused = create(method="grpo", rewards=rewards)
            assert (refused.status_code, refused.json()["code"]) == (
                422,
                "experiment.invalid_reward",
            )
            assert "The JSON Schema of the reward json_schema can't be used: " in refused.text
            assert reason in refused.json()["detail"]

    def test_create_with_conversations_for_a_method_on_pairs_is_refused(
        self, create: Create
    ) -> None:
        answer = create(method="dpo")
        assert (answer.status_code, answer.json()["code"]) == (422, "dataset.not_trainable")
        detail = answer.json()["detail"]
        assert (
            "the method dpo can't learn. It learns from rows of these shapes: preference." in detail
        )
        assert "choose the method sft" in detail

    def test_create_with_other_task_type_than_method_is_refused(
        self, owner_api: Api, project: Project, config: dict[str, Any]
    ) -> None:
        body = {"name": "x", "task_type": "dpo", "config": config}
        answer = owner_api.post(f"projects/{project.uuid}/experiments", json=body)
        assert answer.status_code == 422
        assert "task_type is dpo but config.method is sft" in answer.text

    def test_create_with_a_reward_model_as_base_is_refused(
        self, session: Session, create: Create, project: Project
    ) -> None:
        scores = make_model(session, project, card={"facts": {"config": {"method": "reward"}}})
        answer = create(base_model=str(scores.uuid))
        assert (answer.status_code, answer.json()["code"]) == (409, "model.not_tunable")
        assert "is a reward model, and the method sft tunes a language model" in answer.text

    @pytest.mark.parametrize("method", ["sft", "cpt", "dpo", "orpo", "reward"])
    def test_encoder_is_tuned_by_no_method_that_needs_a_language_model(
        self, session: Session, create: Create, project: Project, method: str
    ) -> None:
        encoder = make_model(session, project, card={"facts": {"kind": "encoder"}})
        answer = create(method=method, base_model=str(encoder.uuid))
        assert (answer.status_code, answer.json()["code"]) == (409, "model.not_tunable")
        assert "is an encoder, and the method" in answer.json()["detail"]

    def test_classification_reads_texts_with_labels_and_makes_no_base_model(
        self,
        session: Session,
        create: Create,
        project: Project,
        rows: Callable[[str], StoredFile],
    ) -> None:
        labelled = make_dataset(session, project)
        make_version(session, labelled, file=rows("labelled"), shape="classification")
        data = {"dataset": {"dataset": str(labelled.uuid)}, "eval_dataset": None}
        assert "choose the method classification" in create(**data).json()["detail"]
        answer = create(method="classification", class_weights="balanced", **data)
        assert answer.status_code == 201, answer.text
        assert answer.json()["config"]["class_weights"] == "balanced"
        card = {"facts": {"config": {"method": "classification"}}}
        classifier = make_model(session, project, card=card)
        refused = create(base_model=str(classifier.uuid))
        assert (refused.status_code, refused.json()["code"]) == (409, "model.not_tunable")
        encoder = make_model(session, project, card={"facts": {"kind": "encoder"}})
        answer = create(method="classification", base_model=str(encoder.uuid), **data)
        assert answer.status_code == 201, answer.text

    def test_embedding_tunes_encoders_on_texts_that_belong_together(
        self,
        session: Session,
        create: Create,
        project: Project,
        rows: Callable[[str], StoredFile],
    ) -> None:
        matches = make_dataset(session, project)
        make_version(session, matches, file=rows("matches"), shape="embedding_pairs")
        data = {"dataset": {"dataset": str(matches.uuid)}, "eval_dataset": None}
        assert "choose the method embedding" in create(**data).json()["detail"]
        refused = create(method="embedding", **data)
        assert (refused.status_code, refused.json()["code"]) == (409, "model.not_tunable")
        assert "is a language model, and the method embedding tunes an encoder" in refused.text
        # Such a training run produces an encoder, which can be tuned again.
        card = {"facts": {"config": {"method": "embedding"}}}
        encoder = make_model(session, project, card=card)
        answer = create(method="embedding", base_model=str(encoder.uuid), **data)
        assert answer.status_code == 201, answer.text
        assert answer.json()["config"]["pooling"] == "mean"

    def test_continued_pretraining_reads_texts_and_replays_conversations(
        self,
        session: Session,
        create: Create,
        project: Project,
        rows: Callable[[str], StoredFile],
        dataset: Dataset,
        owner_api: Api,
    ) -> None:
        texts = make_dataset(session, project)
        make_version(session, texts, file=rows("texts"), shape="text")
        chats = {"dataset": str(dataset.uuid)}
        config = {"method": "cpt", "dataset": {"dataset": str(texts.uuid)}, "eval_dataset": None}
        answer = create(**config | {"dataset": chats})
        assert (answer.status_code, answer.json()["code"]) == (422, "dataset.not_trainable")
        assert "choose the method sft" in answer.json()["detail"]
        answer = create(**config | {"replay_dataset": chats})
        assert answer.status_code == 201, answer.text

        run = owner_api.post(f"experiments/{answer.json()['uuid']}/runs", json={})
        assert run.status_code == 202, run.text
        assert run.json()["config"]["replay_dataset"] == {**chats, "version": "v1"}
        task = session.scalars(select(Task).where(Task.uuid == run.json()["uuid"])).one()
        roles = session.scalars(select(TaskInput.role).where(TaskInput.task_id == task.id))
        assert set(roles) == {"base_model", "dataset", "replay_dataset"}
        # The replayed data must pass the quality gate, too, but no longer has a report.
        owner_api.put(f"projects/{project.uuid}/dataset-gate", json={"min_score": 99})
        session.execute(delete(QualityReport))
        session.commit()
        refused = owner_api.post(f"experiments/{answer.json()['uuid']}/runs", json={})
        assert refused.json()["code"] == "dataset.gate_failed"

    @pytest.mark.parametrize("shape", ["table", "classification"])
    def test_create_with_table_or_labels_is_refused(
        self,
        session: Session,
        create: Create,
        project: Project,
        rows: Callable[[str], StoredFile],
        shape: str,
    ) -> None:
        table = make_dataset(session, project)
        make_version(session, table, file=rows("table"), shape=shape)
        answer = create(dataset={"dataset": str(table.uuid)})
        assert (answer.status_code, answer.json()["code"]) == (422, "dataset.not_trainable")
        assert shape in answer.json()["detail"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"learning_rat": 1},
            {"learning_rate": 0},
            {"dataset": {"dataset": str(uuid4()), "version": "1"}},
            {"method": "magic"},
        ],
    )
    def test_create_with_invalid_config_is_refused(
        self, create: Create, changes: dict[str, Any]
    ) -> None:
        assert create(**changes).status_code == 422


class TestChange:
    def test_change_with_etag_updates_experiment(
        self, session: Session, create: Create, owner_api: Api
    ) -> None:
        made = create()
        path = f"experiments/{made.json()['uuid']}"
        read = owner_api.get(path)
        assert read.headers["etag"] == made.headers["etag"]
        change = {"name": "renamed", "description": "why"}
        changed = owner_api.patch(path, json=change, headers={"If-Match": read.headers["etag"]})
        assert changed.status_code == 200, changed.text
        assert (changed.json()["name"], changed.json()["description"]) == ("renamed", "why")
        assert changed.headers["etag"] != read.headers["etag"]
        assert owner_api.get(path).headers["etag"] == changed.headers["etag"]
        log = session.scalars(select(AuditLog).where(AuditLog.action == "experiment:updated")).one()
        assert log.details["changed"] == ["description", "name"]

    def test_change_of_description_alone_changes_etag(self, create: Create, owner_api: Api) -> None:
        made = create()
        path = f"experiments/{made.json()['uuid']}"
        etag = {"If-Match": made.headers["etag"]}
        assert owner_api.patch(path, json={"description": "a"}, headers=etag).status_code == 200
        assert owner_api.patch(path, json={"description": "b"}, headers=etag).status_code == 412

    def test_change_without_or_with_stale_etag_is_refused(
        self, create: Create, owner_api: Api
    ) -> None:
        path = f"experiments/{create().json()['uuid']}"
        assert owner_api.patch(path, json={"name": "x"}).status_code == 428
        stale = {"If-Match": '"0"'}
        assert owner_api.patch(path, json={"name": "x"}, headers=stale).status_code == 412

    def test_change_of_config_is_checked_like_a_new_one(
        self, session: Session, create: Create, owner_api: Api, config: dict[str, Any]
    ) -> None:
        path = f"experiments/{create().json()['uuid']}"
        everything = {"If-Match": "*"}
        another = make_model(session, None)
        body = {"config": {**config, "base_model": str(another.uuid), "epochs": 3}}
        changed = owner_api.patch(path, json=body, headers=everything).json()
        assert changed["base_model"] == f"{another.name}@1"
        assert changed["config"]["epochs"] == 3
        body["config"]["base_model"] = str(uuid4())
        assert owner_api.patch(path, json=body, headers=everything).status_code == 404
        for field in ("name", "config"):
            nothing = owner_api.patch(path, json={field: None}, headers=everything)
            assert nothing.status_code == 422


class TestDelete:
    def test_delete_removes_experiment_and_is_audited(
        self, session: Session, create: Create, owner_api: Api
    ) -> None:
        uuid = create().json()["uuid"]
        assert owner_api.delete(f"experiments/{uuid}").status_code == 204
        assert owner_api.get(f"experiments/{uuid}").status_code == 404
        actions = session.scalars(select(AuditLog.action).where(AuditLog.resource_id == uuid))
        assert list(actions) == ["experiment:created", "experiment:deleted"]

    def test_delete_with_active_run_is_refused(
        self, create: Create, owner_api: Api, manual_worker: ManualWorker
    ) -> None:
        path = f"experiments/{create().json()['uuid']}"
        task = owner_api.post(f"{path}/runs").json()
        claim = manual_worker.take()
        answer = owner_api.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "experiment.in_use")
        assert task["name"] in answer.json()["detail"]
        manual_worker.fail(claim)
        assert owner_api.delete(path).status_code == 204
        assert owner_api.get(f"tasks/{task['uuid']}").json()["experiment"] is None


class TestPermissions:
    def test_experiment_of_other_project_is_not_found(
        self, session: Session, create: Create, api: Act
    ) -> None:
        path = f"experiments/{create().json()['uuid']}"
        stranger = api(make_user(session, role="developer"))
        for method, address in (
            ("GET", path),
            ("PATCH", path),
            ("DELETE", path),
            ("GET", f"{path}/runs"),
            ("POST", f"{path}/runs"),
        ):
            assert stranger.request(method, address, json={}).status_code == 404, address

    def test_viewer_may_only_read(
        self, session: Session, create: Create, api: Act, project: Project
    ) -> None:
        path = f"experiments/{create().json()['uuid']}"
        viewer = api(make_member(session, project, "viewer"))
        assert viewer.get(path).status_code == 200
        assert viewer.get(f"{path}/runs").status_code == 200
        assert viewer.post(f"{path}/runs").status_code == 403
        assert viewer.delete(path).status_code == 403


def test_list_is_paged_and_filtered_by_name(
    create: Create, owner_api: Api, project: Project
) -> None:
    for name in ("a", "b", "b"):
        create(name=name)
    path = f"projects/{project.uuid}/experiments"
    first = owner_api.get(path, params={"limit": 2}).json()
    second = owner_api.get(path, params={"cursor": first["next_cursor"]}).json()
    assert [e["name"] for e in first["items"] + second["items"]] == ["b", "b", "a"]
    assert second["next_cursor"] is None
    assert len(owner_api.get(path, params={"name": "b"}).json()["items"]) == 2

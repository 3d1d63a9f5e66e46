"""Tests of aliases: moves, history, undo, protection from deletion, and references."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ModelStatus
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets.rules import ROWS_PATH
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.registry import service
from aiplatform.server.registry.models import Model, ModelAlias
from tests.conftest import Api
from tests.factories import (
    make_blob,
    make_context,
    make_dataset,
    make_model,
    make_project,
    make_user,
    make_version,
    number,
)

Create = Callable[..., Any]


@pytest.fixture
def versions(session: Session, project: Project) -> list[Model]:
    """Create three versions of a model."""
    name = f"faq{number()}"
    return [make_model(session, project, name=name, version=str(each)) for each in (1, 2, 3)]


@pytest.fixture
def move(owner_api: Api) -> Callable[..., Any]:
    """Return a function that moves the alias ``production`` and returns the response."""

    def move(
        model: Model, expected: Model | None, *, alias: str = "production", reason: str = "Better."
    ) -> Any:
        body = {"reason": reason, "expected": None if expected is None else str(expected.uuid)}
        return owner_api.put(f"models/{model.uuid}/aliases/{alias}", json=body)

    return move


def undo(api: Api, model: Model, expected: Model | None, **fields: Any) -> Any:
    body = {"expected": None if expected is None else str(expected.uuid), **fields}
    return api.post(f"models/{model.uuid}/aliases/production/undo", json=body)


def moves_of(api: Api, model: Model) -> list[tuple[str | None, str | None]]:
    items = api.get(f"models/{model.uuid}/aliases/production/moves").json()["items"]
    return [(item["from_version"], item["to_version"]) for item in items]


class TestMoves:
    def test_alias_is_set_moved_and_shown(
        self, versions: list[Model], move: Callable[..., Any], owner_api: Api, project: Project
    ) -> None:
        first, second, _ = versions
        answer = move(first, None)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["version"], answer.json()["model"]) == ("1", str(first.uuid))
        assert move(second, first).json()["version"] == "2"
        assert owner_api.get(f"models/{second.uuid}").json()["aliases"] == ["production"]
        assert owner_api.get(f"models/{first.uuid}").json()["aliases"] == []
        for path in (f"models/{first.uuid}/aliases", f"projects/{project.uuid}/model-aliases"):
            [listed] = owner_api.get(path).json()["items"]
            assert (listed["name"], listed["version"]) == ("production", "2")
            assert listed["moved_by"]["username"]
        found = owner_api.get(
            f"projects/{project.uuid}/models", params={"name": first.name, "version": "production"}
        )
        assert [item["uuid"] for item in found.json()["items"]] == [str(second.uuid)]

    def test_move_is_audited_with_author_versions_and_reason(
        self, versions: list[Model], move: Callable[..., Any], owner: User, session: Session
    ) -> None:
        first, second, _ = versions
        move(first, None)
        move(second, first, reason="Answers are shorter.")
        entry = session.scalars(
            select(AuditLog)
            .where(AuditLog.action == "model:alias_moved", AuditLog.user_id == owner.id)
            .order_by(AuditLog.id.desc())
        ).first()
        assert entry is not None
        assert entry.resource_id == str(second.uuid)
        assert entry.details["version"] == {"before": "1", "after": "2"}
        assert entry.details["alias"] == "production"
        assert entry.details["reason"] == "Answers are shorter."

    def test_move_with_outdated_expectation_is_refused(
        self, versions: list[Model], move: Callable[..., Any], owner: User, owner_api: Api
    ) -> None:
        first, second, third = versions
        move(first, None)
        move(second, first)
        answer = move(third, first)
        assert (answer.status_code, answer.json()["code"]) == (409, "model.alias_moved")
        text = answer.json()["detail"]
        assert "point to version 1, but it points to version 2" in text
        assert owner.username in text
        assert move(third, None).json()["code"] == "model.alias_moved"
        assert moves_of(owner_api, first) == [("1", "2"), (None, "1")]

    def test_two_concurrent_moves_let_one_through(
        self, versions: list[Model], move: Callable[..., Any], owner_api: Api
    ) -> None:
        first, second, third = versions
        move(first, None)
        start = Barrier(2)

        def race(model: Model) -> int:
            start.wait()
            return int(move(model, first).status_code)

        with ThreadPoolExecutor(2) as pool:
            codes = list(pool.map(race, (second, third)))
        assert sorted(codes) == [200, 409]
        assert len(moves_of(owner_api, first)) == 2

    def test_move_to_the_same_version_is_not_recorded(
        self, versions: list[Model], move: Callable[..., Any], owner_api: Api
    ) -> None:
        first = versions[0]
        move(first, None)
        assert move(first, first).status_code == 200
        assert moves_of(owner_api, first) == [(None, "1")]

    @pytest.mark.parametrize("alias", ["P", "Production", "9", "a", "ä-b", "x" * 51, "a@b", "a b"])
    def test_alias_with_unsafe_name_is_refused_with_the_rule(
        self, versions: list[Model], move: Callable[..., Any], alias: str
    ) -> None:
        answer = move(versions[0], None, alias=alias)
        assert answer.status_code == 422
        assert "2 to 50 lower-case letters" in answer.text

    def test_alias_of_unfinished_import_is_refused(
        self, session: Session, project: Project, move: Callable[..., Any]
    ) -> None:
        model = make_model(session, project, status=ModelStatus.PENDING)
        assert move(model, None).json()["code"] == "model.not_ready"

    def test_alias_and_version_can_not_have_one_name(
        self, session: Session, project: Project, move: Callable[..., Any], create: Create
    ) -> None:
        model = make_model(session, project, version="stable")
        answer = move(model, None, alias="stable")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.alias_is_version")
        move(model, None)
        answer = create(name=model.name, version="production")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.version_is_alias")

    def test_shared_model_has_aliases_that_administrators_move(
        self, session: Session, api: Callable[..., Api], owner_api: Api
    ) -> None:
        model = make_model(session, None)
        path, body = f"models/{model.uuid}/aliases/production", {"reason": "Reviewed."}
        assert owner_api.put(path, json=body).json()["code"] == "model.shared_protected"
        admin = api(make_user(session, role="admin"))
        assert admin.put(path, json=body).json()["project"] is None
        [shown] = owner_api.get(f"models/{model.uuid}/aliases").json()["items"]
        assert shown["version"] == "1"

    def test_models_of_two_projects_have_aliases_of_their_own(
        self, session: Session, owner: User, versions: list[Model], move: Callable[..., Any]
    ) -> None:
        other = make_model(session, make_project(session, owner), name=versions[0].name)
        assert move(versions[0], None).status_code == 200
        assert move(other, None).status_code == 200


class TestUndo:
    def test_undo_goes_back_one_move_at_a_time(
        self, versions: list[Model], move: Callable[..., Any], owner_api: Api
    ) -> None:
        first, second, third = versions
        move(first, None)
        move(second, first)
        move(third, second)
        assert undo(owner_api, first, third, reason="Too slow.").json()["version"] == "2"
        assert undo(owner_api, first, second).json()["version"] == "1"
        answer = undo(owner_api, first, first)
        assert (answer.status_code, answer.json()["code"]) == (409, "model.alias_nothing_to_undo")
        items = owner_api.get(f"models/{first.uuid}/aliases/production/moves").json()["items"]
        assert [(item["is_undo"], item["undone"]) for item in items] == [
            (True, False), (True, False), (False, True), (False, True), (False, False),
        ]  # fmt: skip
        assert items[1]["reason"] == "Too slow."

    def test_undo_with_outdated_expectation_is_refused(
        self, versions: list[Model], move: Callable[..., Any], owner_api: Api
    ) -> None:
        first, second, third = versions
        move(first, None)
        move(second, first)
        move(third, second)
        undo(owner_api, first, third)
        assert undo(owner_api, first, third).json()["code"] == "model.alias_moved"

    def test_undo_brings_a_deleted_alias_back(
        self, versions: list[Model], move: Callable[..., Any], owner_api: Api, session: Session
    ) -> None:
        first = versions[0]
        move(first, None)
        path = f"models/{first.uuid}/aliases/production"
        assert owner_api.delete(path, params={"reason": "Unused."}).status_code == 204
        assert owner_api.delete(path).status_code == 404
        assert owner_api.get(f"models/{first.uuid}/aliases").json()["items"] == []
        entry = session.scalars(
            select(AuditLog)
            .where(AuditLog.action == "model:alias_deleted")
            .order_by(AuditLog.id.desc())
        ).first()
        assert entry is not None
        assert entry.details["reason"] == "Unused."
        assert undo(owner_api, first, None).json()["version"] == "1"

    def test_undo_to_a_deleted_version_is_refused(
        self, versions: list[Model], move: Callable[..., Any], owner_api: Api
    ) -> None:
        first, second, _ = versions
        move(first, None)
        move(second, first)
        assert owner_api.delete(f"models/{first.uuid}").status_code == 204
        answer = undo(owner_api, second, second)
        assert (answer.status_code, answer.json()["code"]) == (409, "model.alias_version_gone")
        items = owner_api.get(f"models/{second.uuid}/aliases/production/moves").json()["items"]
        assert (items[0]["from_model"], items[0]["from_version"]) == (None, "1")

    def test_undo_of_unknown_alias_is_not_found(
        self, versions: list[Model], owner_api: Api
    ) -> None:
        assert undo(owner_api, versions[0], None).status_code == 404


class TestDeletion:
    def test_version_with_alias_is_not_deleted(
        self, versions: list[Model], move: Callable[..., Any], owner_api: Api
    ) -> None:
        first, second, _ = versions
        move(first, None)
        answer = owner_api.delete(f"models/{first.uuid}")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.has_aliases")
        assert "production" in answer.json()["detail"]
        move(second, first)
        assert owner_api.delete(f"models/{first.uuid}").status_code == 204


class TestReferences:
    """Tests of submissions that name a model as ``name@alias``."""

    def test_reference_is_replaced_by_the_version_that_it_means(
        self, session: Session, project: Project, versions: list[Model], move: Callable[..., Any]
    ) -> None:
        first, second, _ = versions
        move(first, None)
        context = make_context(session, project)
        for text, meant in {
            f"{first.name}@production": first,
            f"{first.name}@2": second,
            str(second.uuid): second,
        }.items():
            spec = InferenceSpec.model_validate({"model": text})
            found = service.resolve_model(session, context, spec.model)
            assert found is not None
            assert found.id == meant.id
        for absent in (f"{first.name}@other", "nothing@production"):
            with pytest.raises(NotFound):
                service.usable_model(session, context, absent)

    def test_models_of_the_project_come_before_shared_ones(
        self, session: Session, project: Project, versions: list[Model], move: Callable[..., Any]
    ) -> None:
        first = versions[0]
        shared = make_model(session, None, name=first.name, version="9")
        alias = {"project_id": None, "model_name": shared.name}
        session.add(ModelAlias(name="production", model_id=shared.id, **alias))
        session.commit()
        context, reference = make_context(session, project), f"{first.name}@production"
        assert service.usable_model(session, context, reference).id == shared.id
        session.rollback()
        move(first, None)
        assert service.usable_model(session, context, reference).id == first.id

    @pytest.mark.parametrize("text", ["faq", "@production", "faq@", "a@b@c", "faq@a b", ""])
    def test_text_that_names_no_version_is_refused_with_the_form(
        self, owner_api: Api, project: Project, text: str
    ) -> None:
        body = {"name": "served", "model": text}
        answer = owner_api.post(f"projects/{project.uuid}/deployments", json=body)
        assert answer.status_code == 422
        assert "NAME@VERSION or NAME@ALIAS" in answer.text

    def test_deployment_keeps_the_version_after_the_alias_moved(
        self, owner_api: Api, project: Project, versions: list[Model], move: Callable[..., Any]
    ) -> None:
        first, second, _ = versions
        move(first, None)
        body = {"name": "served", "model": f"{first.name}@production"}
        made = owner_api.post(f"projects/{project.uuid}/deployments", json=body)
        assert made.status_code == 201, made.text
        move(second, first)
        where = f"deployments/{made.json()['uuid']}"
        assert owner_api.get(where).json()["model"] == str(first.uuid)
        task = owner_api.get(f"tasks/{made.json()['task']}").json()
        assert task["config"]["model"] == str(first.uuid)
        body = {"model": f"{first.name}@production"}
        updated = owner_api.post(f"{where}/update", json=body).json()
        assert updated["updating"]["model_name"] == f"{first.name}@2"

    def test_training_and_experiment_keep_the_version(
        self, session: Session, owner_api: Api, project: Project, versions: list[Model],
        move: Callable[..., Any], home: Any,
    ) -> None:  # fmt: skip
        first, second, _ = versions
        move(first, None)
        dataset = make_dataset(session, project)
        make_version(session, dataset, file=make_blob(session, b"rows", ROWS_PATH, home))
        config = {
            "method": "sft",
            "base_model": f"{first.name}@production",
            "dataset": {"dataset": str(dataset.uuid)},
        }
        path = f"projects/{project.uuid}/experiments"
        made = owner_api.post(path, json={"name": "tuning", "config": config})
        assert made.status_code == 201, made.text
        assert made.json()["config"]["base_model"] == str(first.uuid)
        move(second, first)
        changed = owner_api.patch(
            f"experiments/{made.json()['uuid']}",
            json={"config": config},
            headers={"If-Match": made.headers["etag"]},
        )
        assert changed.json()["config"]["base_model"] == str(second.uuid)
        assert changed.json()["base_model"] == f"{first.name}@2"

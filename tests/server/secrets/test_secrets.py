"""Tests of storing, listing, replacing, deleting and re-encrypting secrets without showing them."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.core import encryption
from aiplatform.server.core.encryption import SecretUnreadable, decrypt
from aiplatform.server.identity.models import User
from aiplatform.server.secrets.models import Secret
from tests.conftest import Api
from tests.factories import make_member, make_project, make_secret, make_user

VALUE = "hf_correct-horse-battery"
Act = Callable[[User | None], Api]


@pytest.fixture
def mine(api: Act, session: Session) -> Api:
    return api(make_user(session))


def put(api: Api, name: str, value: str = VALUE, place: str = "users/me", **more: Any) -> Any:
    return api.put(f"{place}/secrets/{name}", json={"value": value, **more})


class TestStoring:
    def test_value_is_stored_encrypted_and_never_shown(self, mine: Api, session: Session) -> None:
        made = put(mine, "hub", kind="hub_token")
        assert made.status_code == 201
        listed = mine.get("users/me/secrets")
        assert [item["name"] for item in listed.json()["items"]] == ["hub"]
        assert set(listed.json()["items"][0]) == {
            "name", "kind", "created_at", "updated_at", "last_used_at"
        }  # fmt: skip
        for answer in (made, listed):
            assert VALUE not in answer.text
        row = session.scalars(select(Secret).where(Secret.name == "hub")).one()
        assert VALUE.encode() not in row.value
        assert decrypt(row.value, f"secret:{row.uuid}") == VALUE
        trail = session.scalars(text("SELECT details::text FROM audit_logs")).all()
        assert not any(VALUE in details for details in trail)
        assert any('"kind": "hub_token"' in details for details in trail)

    def test_storing_again_replaces_the_value(self, mine: Api, session: Session) -> None:
        assert put(mine, "again", "one").status_code == 201
        assert put(mine, "again", "two").status_code == 200
        row = session.scalars(select(Secret).where(Secret.name == "again")).one()
        assert decrypt(row.value, f"secret:{row.uuid}") == "two"

    def test_deleted_secret_is_gone(self, mine: Api) -> None:
        put(mine, "gone")
        assert mine.delete("users/me/secrets/gone").status_code == 204
        assert mine.delete("users/me/secrets/gone").status_code == 404
        assert mine.get("users/me/secrets").json()["items"] == []

    @pytest.mark.parametrize("name", ["a b", "..", ".hidden", "é", "a" * 101, "a;b", "%00"])
    def test_invalid_name_is_refused(self, mine: Api, name: str) -> None:
        assert put(mine, name).status_code in {404, 405, 422}

    @pytest.mark.parametrize("value", ["", "x" * 70_000, None, 5, "xxxx\0y"])
    def test_invalid_value_is_refused_and_not_repeated(self, mine: Api, value: Any) -> None:
        answer = put(mine, "odd", value)
        assert answer.status_code == 422
        assert "xxxx" not in answer.text

    def test_too_many_secrets_are_refused(self, mine: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        from aiplatform.server.secrets import service

        monkeypatch.setattr(service, "MAX_SECRETS", 2)
        assert [put(mine, name).status_code for name in "abc"] == [201, 201, 409]
        assert put(mine, "a").status_code == 200

    def test_users_may_use_the_same_name(self, api: Act, session: Session) -> None:
        one, two = api(make_user(session)), api(make_user(session))
        put(one, "same", "a")
        put(two, "same", "b")
        one.delete("users/me/secrets/same")
        assert len(two.get("users/me/secrets").json()["items"]) == 1


class TestProjectSecrets:
    def test_developers_store_and_viewers_see_names(self, api: Act, session: Session) -> None:
        project = make_project(session)
        place = f"projects/{project.uuid}"
        developer = api(make_member(session, project, "developer"))
        viewer = api(make_member(session, project, "viewer"))
        assert put(developer, "s3", place=place, kind="s3").status_code == 201
        assert put(viewer, "s3", place=place).status_code == 403
        assert [s["name"] for s in viewer.get(f"{place}/secrets").json()["items"]] == ["s3"]
        assert put(api(make_user(session)), "s3", place=place).status_code == 404
        owner = api(session.get_one(User, project.owner_id))
        assert owner.get("users/me/secrets").json()["items"] == []

    def test_viewer_can_not_use_project_secrets_in_a_task(self, api: Act, session: Session) -> None:
        """Check that the response is the same whether or not the secret exists."""
        project = make_project(session)
        make_secret(session, project, name="there")
        viewer = api(make_member(session, project, "viewer"))
        answers = [
            viewer.post(
                f"projects/{project.uuid}/models",
                json={"name": "m", "source": {"kind": "hub", "repository": "a/b"},
                      "secrets": {"HF_TOKEN": name}},
            )
            for name in ("there", "nowhere")
        ]  # fmt: skip
        assert {answer.status_code for answer in answers} == {403}


class TestImports:
    def test_import_names_its_token(self, api: Act, session: Session) -> None:
        project = make_project(session)
        owner = session.get_one(User, project.owner_id)
        body = {"name": "gated", "source": {"kind": "hub", "repository": "a/b"},
                "secrets": {"HF_TOKEN": "hub"}}  # fmt: skip
        path = f"projects/{project.uuid}/models"
        refused = api(owner).post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "secret.unknown")
        make_secret(session, owner, VALUE, name="hub")
        model = api(owner).post(path, json=body)
        assert model.status_code == 201, model.text
        task = api(owner).get(f"tasks/{model.json()['task']}").json()
        assert task["config"]["secrets"] == {"HF_TOKEN": "hub"}


class TestRotation:
    def test_key_rotation_encrypts_everything_again(self, session: Session, admin: Api) -> None:
        from aiplatform.server import composition

        user = make_user(session)
        before = [make_secret(session, user, f"value {n}") for n in range(7)]
        changed = [row.updated_at for row in before]
        old = encryption.load_keys()[0]
        rotation_batch, encryption.BATCH = encryption.BATCH, 3
        try:
            first = composition.rotate_keys(new_key=True)
            second = composition.rotate_keys()
        finally:
            encryption.BATCH = rotation_batch
        counts = {column.column: column for column in first}
        assert counts["secrets.value"].encrypted_again >= 7
        assert sum(column.encrypted_again + column.unreadable for column in second) == 0
        path = encryption.key_path()
        path.write_text(path.read_text().splitlines()[0] + "\n")  # the old key is deleted
        assert old not in encryption.load_keys()
        for number, row in enumerate(before):
            session.refresh(row)
            assert decrypt(row.value, f"secret:{row.uuid}") == f"value {number}"
        assert [row.updated_at for row in before] == changed, "ETags stay"

    def test_unreadable_secret_is_counted_and_kept(self, session: Session) -> None:
        from aiplatform.server import composition

        row = make_secret(session, make_user(session))
        unreadable = b"\x01" + b"unknown!" + b"x" * 40
        row.value = unreadable
        session.commit()
        counts = {column.column: column for column in composition.rotate_keys()}
        assert counts["secrets.value"].unreadable == 1
        session.refresh(row)
        assert row.value == unreadable
        with pytest.raises(SecretUnreadable):
            decrypt(row.value, f"secret:{row.uuid}")
        session.delete(row)
        session.commit()

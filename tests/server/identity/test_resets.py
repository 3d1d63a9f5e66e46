"""Tests of forgotten passwords and reset links."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import PasswordReset, User
from aiplatform.server.identity.service import hooks
from tests.conftest import Api
from tests.factories import PASSWORD, make_user, number
from tests.openapi_checks import CheckedClient

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[[User | None], Api]
NEW = "quite another sentence"


def issue(api: Api, user: User) -> str:
    answer = api.post(f"users/{user.username}/password-reset")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def reset(client: CheckedClient, token: str, password: str = NEW) -> Any:
    body = {"token": token, "new_password": password}
    return client.post("/api/v1/auth/reset-password", json=body)


def sign_in(client: CheckedClient, user: User, password: str) -> int:
    form = {"username": user.username, "password": password}
    return int(client.post("/api/v1/auth/token", data=form).status_code)


def forgot(client: CheckedClient, email: str, **options: Any) -> Any:
    return client.post("/api/v1/auth/forgot-password", json={"email": email}, **options)


def test_issued_link_sets_a_password_once_and_ends_all_sessions(
    admin: Api, client: CheckedClient, session: Session, api: Act
) -> None:
    user = make_user(session, must_change_password=True)
    mine = api(user)
    token = issue(admin, user)
    assert token not in str(session.execute(text("SELECT t::text FROM password_resets t")).all())
    assert reset(client, token).status_code == 204
    assert mine.get("users/me").status_code == 401
    assert sign_in(client, user, PASSWORD) == 401
    assert sign_in(client, user, NEW) == 200
    assert admin.get(f"users/{user.username}").json()["must_change_password"] is False
    assert reset(client, token, "a third sentence here").json()["code"] == "auth.invalid_link"
    rows = admin.get("audit", params={"action": "user:password_reset"}).json()["items"]
    assert rows[0]["user"]["username"] == user.username
    inbox = Api(client, _token(client, user)).get("notifications").json()["items"]
    assert inbox[0]["type"] == "security:password_reset"


def _token(client: CheckedClient, user: User) -> str:
    form = {"username": user.username, "password": NEW}
    return str(client.post("/api/v1/auth/token", data=form).json()["access_token"])


def test_concurrent_uses_of_a_link_set_one_password(
    admin: Api, client: CheckedClient, session: Session
) -> None:
    token = issue(admin, make_user(session))
    with ThreadPoolExecutor(10) as pool:
        answers = pool.map(lambda n: reset(client, token, f"sentence of number {n}"), range(10))
        codes = sorted(answer.status_code for answer in answers)
    assert codes == [204] + [422] * 9


def test_weak_password_does_not_use_up_the_link(
    admin: Api, client: CheckedClient, session: Session
) -> None:
    user = make_user(session)
    token = issue(admin, user)
    assert reset(client, token, user.username + "1").json()["code"] == "account.weak_password"
    assert reset(client, token).status_code == 204


@pytest.mark.parametrize("end", ["expired", "another issued", "deactivated", "address changed"])
def test_link_is_invalid_after_expiry_or_change_of_the_account(
    admin: Api, client: CheckedClient, session: Session, end: str
) -> None:
    user = make_user(session)
    token = issue(admin, user)
    if end == "expired":
        past = func.now() - timedelta(seconds=1)
        session.execute(update(PasswordReset).values(expires_at=past))
        session.commit()
    elif end == "another issued":
        issue(admin, user)
    elif end == "deactivated":
        admin.post(f"users/{user.username}/deactivate")
        admin.post(f"users/{user.username}/activate")
    else:
        body = {"email": f"moved{number()}@example.com"}
        admin.patch(f"users/{user.username}", json=body, headers={"If-Match": "*"})
    assert reset(client, token).json()["code"] == "auth.invalid_link"
    assert sign_in(client, user, PASSWORD) == 200


def test_reset_clears_failed_sign_ins(admin: Api, client: CheckedClient, session: Session) -> None:
    user = make_user(session)
    for _ in range(5):
        sign_in(client, user, "wrong one")
    assert sign_in(client, user, PASSWORD) == 429
    assert reset(client, issue(admin, user)).status_code == 204
    assert sign_in(client, user, NEW) == 200


class TestForgotten:
    @pytest.fixture
    def sent(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str, str]]:
        """Record the links instead of delivering them, and return the list of links."""
        kept: list[tuple[str, str, str, str]] = []

        def send(_: Session, email: str, kind: str, link: str, language: str) -> bool:
            kept.append((email, kind, link, language))
            return True

        monkeypatch.setattr(hooks, "_send_link", [send])
        return kept

    def test_answer_does_not_reveal_accounts(
        self, client: CheckedClient, session: Session, sent: list[Any]
    ) -> None:
        known, gone = make_user(session), make_user(session, active=False)
        answers = [forgot(client, e) for e in (known.email, gone.email, "nobody@example.com")]
        assert {(a.status_code, a.text) for a in answers} == {(202, "null")}
        assert [message[0] for message in sent] == [known.email]

    def test_sent_link_works(
        self, client: CheckedClient, session: Session, sent: list[Any]
    ) -> None:
        user = make_user(session)
        forgot(client, user.email.upper(), headers={"Accept-Language": "zh"})
        email, kind, link, language = sent[0]
        assert (email, kind, language) == (user.email, "password_reset", "zh")
        assert link.startswith("http://127.0.0.1:8400/reset-password#aip_reset_")
        assert reset(client, link.partition("#")[2]).status_code == 204
        assert sign_in(client, user, NEW) == 200

    def test_repeated_request_sends_one_link_and_keeps_the_issued_one(
        self, admin: Api, client: CheckedClient, session: Session, sent: list[Any]
    ) -> None:
        user = make_user(session)
        issued = issue(admin, user)
        for _ in range(3):
            forgot(client, user.email)
        assert len(sent) == 1
        assert reset(client, issued).status_code == 204
        assert reset(client, sent[0][2].partition("#")[2]).json()["code"] == "auth.invalid_link"

    def test_no_reset_is_stored_where_nothing_can_be_sent(
        self, client: CheckedClient, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hooks, "_send_link", [])
        user = make_user(session)
        assert forgot(client, user.email).status_code == 202
        mine = select(PasswordReset.id).where(PasswordReset.user_id == user.id)
        assert session.scalar(mine) is None

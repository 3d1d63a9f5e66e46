"""Tests of the session cookie: sign-in, renewal, preferences, and requests from other origins."""

import time
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.server.audit.service.denials import denials
from aiplatform.server.core.session_cookie import NAME
from aiplatform.server.identity.access import hash_token
from aiplatform.server.identity.models import AuthSession, AuthToken
from tests.conftest import Api, environment
from tests.factories import PASSWORD, make_token, make_user
from tests.openapi_checks import CheckedClient
from tests.server.identity.conftest import actions, age_used_tokens, flow, me, provider
from tests.server.identity.fake_provider import Flow
from tests.server.ui.conftest import FROM_PAGE, ORIGIN, PATH, Browser

__all__ = ["flow", "provider"]


@pytest.fixture
def browser(client: CheckedClient) -> Browser:
    return Browser(client)


def age(session: Session, token: str, by: timedelta) -> None:
    """Move the expiry of a token to an earlier time."""
    session.execute(
        update(AuthToken)
        .where(AuthToken.token_hash == hash_token(token))
        .values(expires_at=AuthToken.expires_at - by)
    )
    session.commit()


def end_reason(session: Session, token: str) -> str | None:
    session.rollback()
    return session.scalars(
        select(AuthSession.end_reason)
        .join(AuthToken, AuthToken.session_id == AuthSession.id)
        .where(AuthToken.token_hash == hash_token(token))
    ).one()


class TestSignIn:
    def test_sign_in_sets_cookie_that_authenticates(
        self, browser: Browser, session: Session
    ) -> None:
        user = make_user(session)
        answer = browser.sign_in(user.username)
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{NAME}=aip_access_")
        assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
            "httponly", "max-age=2592000", "path=/", "samesite=lax",
        }  # fmt: skip
        shown = answer.json()
        assert shown["user"]["username"] == user.username
        assert shown["user"]["permissions"] == []
        assert shown["preferences"] == {"language": None, "theme": None}
        assert shown["renew_in"] in range(14 * 60, 15 * 60 + 1)
        assert browser.tokens.access not in answer.text
        assert browser.request("GET", "/api/v1/users/me").json()["username"] == user.username
        assert browser.read().json()["user"] == shown["user"]
        assert actions(session, user) == ["auth:login"]

    def test_cookie_is_secure_when_page_was_loaded_by_https(
        self, browser: Browser, session: Session
    ) -> None:
        answer = browser.request(
            "POST",
            PATH,
            json={"username": make_user(session).username, "password": PASSWORD},
            headers={"Origin": "https://127.0.0.1:8400"},
        )
        assert "; Secure" in answer.headers["set-cookie"]

    def test_wrong_password_is_refused_like_at_the_token_route(
        self, browser: Browser, session: Session
    ) -> None:
        user = make_user(session)
        answer = browser.sign_in(user.username, "wrong")
        assert (answer.status_code, answer.json()["code"]) == (401, "auth.wrong_credentials")
        assert "set-cookie" not in answer.headers
        for _ in range(4):
            browser.sign_in(user.username, "wrong")
        assert browser.sign_in(user.username).status_code == 429
        assert set(actions(session, user)) == {"auth:login_failed"}

    def test_second_factor_is_asked_for(self, browser: Browser, session: Session) -> None:
        user = make_user(session)
        browser.sign_in(user.username)
        enrolled = browser.request(
            "POST", "/api/v1/users/me/totp", json={"password": PASSWORD}
        ).json()
        totp = pyotp.TOTP(enrolled["secret"])
        browser.request("POST", "/api/v1/users/me/totp/confirm", json={"code": totp.now()})
        refused = browser.sign_in(user.username)
        assert (refused.status_code, refused.json()["code"]) == (401, "auth.totp_required")
        following = totp.at(int(time.time()) + 30)
        assert browser.sign_in(user.username, code=following).status_code == 200

    def test_first_password_is_changed_with_the_cookie(
        self, browser: Browser, session: Session
    ) -> None:
        user = make_user(session, must_change_password=True)
        assert browser.sign_in(user.username).json()["user"]["must_change_password"] is True
        assert browser.request("GET", "/api/v1/projects").status_code == 403
        body = {"current_password": PASSWORD, "new_password": "four unusual words together"}
        assert browser.request("PUT", "/api/v1/users/me/password", json=body).status_code == 204
        assert browser.read().json()["user"]["must_change_password"] is False

    def test_single_sign_on_ends_in_a_cookie(self, browser: Browser, flow: Flow) -> None:
        code = flow.back()["code"]
        body = {"code": code, "code_verifier": flow.verifier}
        answer = browser.request("POST", f"{PATH}/sso", json=body)
        assert answer.status_code == 200
        assert browser.read().json()["user"] == answer.json()["user"]
        assert browser.request("POST", f"{PATH}/sso", json=body).status_code == 401


class TestSignOut:
    def test_sign_out_ends_the_session_and_removes_the_cookie(
        self, browser: Browser, session: Session
    ) -> None:
        browser.sign_in(make_user(session).username)
        answer = browser.request("DELETE", PATH)
        assert answer.status_code == 204
        assert f'{NAME}=""' in answer.headers["set-cookie"]
        assert "max-age=0" in answer.headers["set-cookie"].lower()
        assert end_reason(session, browser.tokens.access) == "logout"
        assert browser.read().status_code == 401

    def test_session_is_listed_and_ended_everywhere(
        self, browser: Browser, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        browser.sign_in(user.username)
        program = Api(client, make_token(session, user))
        assert len(program.get("users/me/sessions").json()["items"]) == 2
        assert program.delete("users/me/sessions").json() == {"ended": 1}
        assert browser.read().status_code == 401

    def test_missing_cookie_is_no_denial(self, client: CheckedClient) -> None:
        before = str(vars(denials))
        assert client.get(PATH).status_code == 401
        assert str(vars(denials)) == before


class TestRenewal:
    HALF = timedelta(minutes=16)
    LONG = timedelta(hours=9)

    @pytest.fixture
    def signed_in(self, browser: Browser, session: Session) -> Browser:
        browser.sign_in(make_user(session).username)
        return browser

    def copy(self, browser: Browser) -> Browser:
        other = Browser(browser.client)
        other.cookie = browser.cookie
        return other

    def test_tokens_stay_in_their_first_half(self, signed_in: Browser) -> None:
        assert "set-cookie" not in signed_in.read().headers

    @pytest.mark.parametrize("by", [HALF, LONG], ids=["half is over", "expired"])
    def test_tokens_are_renewed(
        self, signed_in: Browser, client: CheckedClient, session: Session, by: timedelta
    ) -> None:
        before = signed_in.tokens
        age(session, before.access, by)
        answer = signed_in.read()
        assert answer.status_code == 200
        assert signed_in.tokens.access != before.access
        assert answer.json()["renew_in"] in range(14 * 60, 15 * 60 + 1)
        assert me(client, signed_in.tokens.access) == 200
        # Requests with the earlier cookie still succeed until its access token expires.
        assert me(client, before.access) == (200 if by == self.HALF else 401)

    def test_two_tabs_renew_at_once(self, signed_in: Browser, session: Session) -> None:
        other = self.copy(signed_in)
        age(session, signed_in.tokens.access, self.LONG)
        assert signed_in.read().status_code == 200
        late = other.read()
        assert (late.status_code, "set-cookie" in late.headers) == (200, False)
        age_used_tokens(session, 60)
        age(session, signed_in.tokens.access, self.LONG)
        assert signed_in.read().status_code == 200

    def test_lost_answer_is_repeated_after_any_time(
        self, signed_in: Browser, session: Session
    ) -> None:
        lost = self.copy(signed_in)
        age(session, signed_in.tokens.access, self.HALF)
        lost.read()
        age_used_tokens(session, 3600)
        age(session, signed_in.tokens.access, self.HALF)
        assert signed_in.read().status_code == 200
        assert signed_in.tokens != lost.tokens

    def test_thief_who_renews_a_copied_cookie_is_noticed(
        self, signed_in: Browser, session: Session
    ) -> None:
        thief = self.copy(signed_in)
        age(session, signed_in.tokens.access, self.LONG)
        signed_in.read()
        age_used_tokens(session, 3600)
        assert thief.read().status_code == 200
        age(session, signed_in.tokens.access, self.LONG)
        assert signed_in.read().status_code == 401
        assert end_reason(session, thief.tokens.access) == "token_reused"
        assert thief.read().status_code == 401

    def test_ended_session_is_not_renewed(
        self, signed_in: Browser, client: CheckedClient, session: Session
    ) -> None:
        age(session, signed_in.tokens.access, self.HALF)
        copied = self.copy(signed_in)
        signed_in.request("DELETE", PATH)
        assert copied.read().status_code == 401


class TestPreferences:
    def test_preferences_hold_for_the_account_in_all_browsers(
        self, browser: Browser, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        browser.sign_in(user.username)
        answer = browser.request("PATCH", PATH, json={"language": "zh", "theme": "dark"})
        assert answer.json()["preferences"] == {"language": "zh", "theme": "dark"}
        browser.request("PATCH", PATH, json={"theme": None})
        other = Browser(client)
        shown = other.sign_in(user.username).json()["preferences"]
        assert shown == {"language": "zh", "theme": None}
        assert actions(session, user).count("user:preferences_updated") == 2

    def test_unchanged_preferences_write_no_record(
        self, browser: Browser, session: Session
    ) -> None:
        user = make_user(session)
        browser.sign_in(user.username)
        browser.request("PATCH", PATH, json={"language": None})
        assert "user:preferences_updated" not in actions(session, user)

    def test_unknown_theme_is_refused(self, browser: Browser, session: Session) -> None:
        browser.sign_in(make_user(session).username)
        assert browser.request("PATCH", PATH, json={"theme": "pink"}).status_code == 422


class TestRequestsOfOtherPages:
    @pytest.fixture
    def signed_in(self, browser: Browser, session: Session) -> Browser:
        browser.sign_in(make_user(session, role="admin").username)
        return browser

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-AIPlatform-UI": ""},
            {"X-AIPlatform-UI": "yes"},
            {"Sec-Fetch-Site": "none"},
        ],
        ids=str,
    )
    def test_change_without_proof_of_the_page_is_refused(
        self, signed_in: Browser, headers: dict[str, str]
    ) -> None:
        answer = signed_in.request("POST", "/api/v1/projects", json={"name": "x"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "request.not_from_page")
        assert "X-AIPlatform-UI" in answer.json()["detail"]

    def test_change_without_any_origin_is_refused(self, signed_in: Browser) -> None:
        answer = signed_in.client.post(
            "/api/v1/projects",
            json={"name": "x"},
            headers={"Cookie": f"{NAME}={signed_in.cookie}", "X-AIPlatform-UI": "1"},
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "request.not_from_page")

    def test_change_from_browser_without_fetch_metadata_needs_own_origin(
        self, signed_in: Browser
    ) -> None:
        def send(origin: str) -> Any:
            return signed_in.client.patch(
                PATH,
                json={"theme": "dark"},
                headers={
                    "Cookie": f"{NAME}={signed_in.cookie}",
                    "X-AIPlatform-UI": "1",
                    "Origin": origin,
                },
            )

        assert send(ORIGIN).status_code == 200
        assert send("http://127.0.0.1:8888").json()["code"] == "request.cross_origin"

    def test_origin_that_may_send_tokens_may_not_use_the_cookie(
        self, signed_in: Browser, session: Session
    ) -> None:
        from aiplatform.server.app import create_app

        with environment(AIPLATFORM_CORS_ORIGINS="https://tools.example.com"):
            app = create_app()
        with CheckedClient(app, base_url=ORIGIN, client=("127.0.0.1", 50000)) as client:
            headers = {
                **FROM_PAGE,
                "Origin": "https://tools.example.com",
                "Sec-Fetch-Site": "cross-site",
            }
            cookie = {"Cookie": f"{NAME}={signed_in.cookie}"}
            refused = client.patch(PATH, json={"theme": "dark"}, headers={**headers, **cookie})
            assert refused.json()["code"] == "request.not_from_page"
            bearer = {"Authorization": f"Bearer {signed_in.tokens.access}"}
            assert (
                client.patch(
                    PATH, json={"theme": "dark"}, headers={**headers, **bearer}
                ).status_code
                == 200
            )

    def test_cookie_authenticates_chats_of_the_page_only(self, signed_in: Browser) -> None:
        def ask(**headers: str) -> tuple[int, str]:
            answer = signed_in.request(
                "POST",
                "/v1/chat/completions",
                json={"model": "missing", "messages": [{"role": "user", "content": "Hello"}]},
                headers=headers,
            )
            return answer.status_code, answer.json()["error"]["code"]

        assert signed_in.request("GET", "/v1/models").json()["object"] == "list"
        assert ask() == (404, "model_not_found")
        assert ask(**{"X-AIPlatform-UI": ""}) == (403, "request.not_from_page")
        assert ask(**{"Sec-Fetch-Site": "same-site"}) == (403, "request.cross_origin")

    def test_chat_models_embedded_by_another_port_have_no_cookie(self, signed_in: Browser) -> None:
        headers = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}
        assert signed_in.request("GET", "/v1/models", headers=headers).status_code == 401

    def test_token_in_the_header_wins_over_the_cookie(
        self, signed_in: Browser, client: CheckedClient, session: Session
    ) -> None:
        other = make_user(session)
        answer = client.get(
            "/api/v1/users/me",
            headers={
                "Cookie": f"{NAME}={signed_in.cookie}",
                "Authorization": f"Bearer {make_token(session, other)}",
            },
        )
        assert answer.json()["username"] == other.username
        both = {
            "Cookie": f"{NAME}={signed_in.cookie}",
            "Authorization": f"Bearer {make_token(session, other)}",
        }
        assert client.patch(PATH, json={"theme": "dark"}, headers=both).status_code == 200

    def test_reads_embedded_by_another_port_have_no_cookie(self, signed_in: Browser) -> None:
        def read(site: str, mode: str) -> int:
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
            return int(signed_in.request("GET", "/api/v1/users/me", headers=headers).status_code)

        assert read("same-origin", "cors") == 200
        assert read("none", "navigate") == 200
        assert read("cross-site", "navigate") == 200  # a link in an email leads to a download
        assert read("same-site", "no-cors") == 401
        assert read("cross-site", "cors") == 401

    @pytest.mark.parametrize("value", ["", "x", ".", "a.b", "aip_access_x.", "é.é"])
    def test_malformed_cookie_is_no_sign_in(self, client: CheckedClient, value: str) -> None:
        header = f"{NAME}={value}".encode()
        assert client.get("/api/v1/users/me", headers={"Cookie": header}).status_code == 401

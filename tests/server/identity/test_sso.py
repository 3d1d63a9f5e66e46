"""Tests of single sign-on with two providers: a fake one, and one from a library."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import User
from aiplatform.server.identity.service import provider as providers
from tests.conftest import environment
from tests.factories import PASSWORD, make_role, make_user, number
from tests.server.identity.fake_provider import CLIENT_ID, REDIRECT_URI, FakeProvider, Flow


class TestSignIn:
    def test_first_sign_in_creates_an_account_and_later_ones_find_it(
        self, session: Session, flow: Flow
    ) -> None:
        name = f"ann{number()}"
        flow.provider.person = {
            "sub": name, "preferred_username": f"{name}@corp", "email": f"{name}@example.com",
            "email_verified": True,
        }  # fmt: skip
        me = flow.sign_in().get("users/me").json()
        assert me["username"] == name
        assert me["email"] == f"{name}@example.com"
        assert me["role"] == "user"
        assert flow.sign_in().get("users/me").json()["uuid"] == me["uuid"]
        user = session.scalars(select(User).where(User.username == name)).one()
        assert user.password_hash == "!"
        form = {"username": name, "password": "!", "grant_type": "password"}
        assert flow.client.post("/api/v1/auth/token", data=form).status_code == 401
        # A password reset by email does not bypass the provider, either.
        asked = flow.client.post("/api/v1/auth/forgot-password", json={"email": user.email})
        assert asked.status_code == 202
        assert not session.scalars(
            select(AuditLog).where(
                AuditLog.action == "user:password_reset_requested",
                AuditLog.resource_id == str(user.uuid),
            )
        ).all()

    def test_concurrent_sign_ins_create_one_session_each(self, flow: Flow) -> None:
        flow.provider.person = {"sub": f"twice{number()}"}
        for _ in range(3):
            codes = [flow.back()["code"] for _ in range(6)]
            with ThreadPoolExecutor(6) as pool:
                answers = list(pool.map(lambda code: flow.exchange(code).status_code, codes))
            assert answers == [200] * 6

    def test_unverified_address_is_ignored(self, session: Session, flow: Flow) -> None:
        victim = make_user(session)
        flow.provider.person = {"sub": "thief", "email": victim.email, "email_verified": False}
        with environment(AIPLATFORM_OIDC_LINK_BY_EMAIL="true"):
            me = flow.sign_in().get("users/me").json()
        assert me["uuid"] != str(victim.uuid)
        assert me["email"] != victim.email

    def test_verified_address_links_an_account_only_if_configured(
        self, session: Session, flow: Flow
    ) -> None:
        user = make_user(session)
        flow.provider.person = {
            "sub": user.username, "email": user.email.upper(), "email_verified": True,
        }  # fmt: skip
        assert flow.back()["error"] == "sso.failed"
        with environment(AIPLATFORM_OIDC_LINK_BY_EMAIL="true"):
            assert flow.sign_in().get("users/me").json()["uuid"] == str(user.uuid)

    @pytest.mark.parametrize("how", ["changed", "registered"])
    def test_account_with_unconfirmed_address_is_not_linked(
        self, session: Session, flow: Flow, api: Callable[..., Any], how: str
    ) -> None:
        """Check that an account is not linked just because its user claimed the address first."""
        email = f"chief{number()}@example.com"
        if how == "changed":
            thief = make_user(session)
            answer = api(thief).put("users/me/email", json={"email": email, "password": PASSWORD})
            assert answer.status_code in {200, 204}, answer.text
        else:
            with environment(AIPLATFORM_SELF_REGISTRATION="true"):
                body = {"username": f"u{number()}", "email": email,
                        "password": "violet harbour engine 93"}  # fmt: skip
                assert flow.client.post("/api/v1/auth/register", json=body).status_code == 201
            thief = session.scalars(select(User).where(User.email == email)).one()
        flow.provider.person = {
            "sub": email, "email": email, "email_verified": True, "groups": ["staff"],
        }  # fmt: skip
        with environment(AIPLATFORM_OIDC_LINK_BY_EMAIL="true", AIPLATFORM_OIDC_ROLES="staff=admin"):
            assert flow.back()["error"] == "sso.failed"
            session.expire_all()
            assert session.get_one(User, thief.id).role == "user"

    def test_account_is_linked_after_an_administrator_set_its_address(
        self, session: Session, flow: Flow, api: Callable[..., Any], admin: Any
    ) -> None:
        user, email = make_user(session), f"chief{number()}@example.com"
        api(user).put("users/me/email", json={"email": email, "password": PASSWORD})
        for address in (f"x{email}", email):
            etag = admin.get(f"users/{user.username}").headers["etag"]
            changed = admin.patch(
                f"users/{user.username}", json={"email": address}, headers={"If-Match": etag}
            )
            assert changed.status_code == 200, changed.text
        flow.provider.person = {"sub": email, "email": email, "email_verified": True}
        with environment(AIPLATFORM_OIDC_LINK_BY_EMAIL="true"):
            assert flow.sign_in().get("users/me").json()["uuid"] == str(user.uuid)

    def test_deactivated_and_unknown_users_are_refused(self, session: Session, flow: Flow) -> None:
        flow.provider.person = {"sub": "leaver"}
        me = flow.sign_in().get("users/me").json()
        code = flow.back()["code"]
        user = session.scalars(select(User).where(User.uuid == me["uuid"])).one()
        user.is_active = False
        session.commit()
        assert flow.exchange(code).status_code == 401
        assert flow.back()["error"] == "sso.failed"
        flow.provider.person = {"sub": "stranger"}
        with environment(AIPLATFORM_OIDC_CREATE_USERS="false"):
            assert flow.back()["error"] == "sso.failed"
        told = session.scalars(
            select(AuditLog)
            .where(AuditLog.action == "auth:login_failed")
            .order_by(AuditLog.id.desc())
        ).first()
        assert told is not None
        assert told.details["subject"] == "stranger"

    def test_taken_or_unusual_names_are_adapted(self, session: Session, flow: Flow) -> None:
        taken = make_user(session)
        for subject, wanted, pattern in (
            ("a", taken.username.upper(), rf"{taken.username.upper()}-\d+"),
            ("b", "me", r"user-me(-\d+)?"),
            ("c", "../../<script>", r"script(-\d+)?"),
            ("d", 17, r"17(-\d+)?"),
            ("e", None, r"user(-\d+)?"),
            ("f", "王小明@corp.example", r"王小明(-\d+)?"),
            ("g", "ＬＩＮ王", r"LIN王(-\d+)?"),
            ("h", "adm一in", r"adm-in(-\d+)?"),
        ):
            flow.provider.person = {"sub": f"odd-{subject}", "preferred_username": wanted}
            assert re.fullmatch(pattern, flow.sign_in().get("users/me").json()["username"])

    def test_groups_set_the_role_at_each_sign_in(self, session: Session, flow: Flow) -> None:
        role = make_role(session, "users:read")
        flow.provider.person = {"sub": "grouped", "groups": ["staff", "ops"]}
        with environment(AIPLATFORM_OIDC_ROLES=f"none=viewer,ops={role.name},staff=admin"):
            me = flow.sign_in()
            assert me.get("users/me").json()["role"] == role.name
            flow.provider.person["groups"] = []
            assert flow.sign_in().get("users/me").json()["role"] == "user"
            assert me.get("users").status_code == 403
        with environment(AIPLATFORM_OIDC_ROLES="staff=ghost"):
            flow.provider.person["groups"] = ["staff"]
            assert flow.sign_in().get("users/me").json()["role"] == "user"

    def test_last_administrator_is_not_demoted(
        self, session: Session, flow: Flow, admin_user: User
    ) -> None:
        admin_user.email = "root@example.com"
        session.commit()
        flow.provider.person = {
            "sub": "root", "email": "root@example.com", "email_verified": True, "groups": [],
        }  # fmt: skip
        with environment(
            AIPLATFORM_OIDC_LINK_BY_EMAIL="true", AIPLATFORM_OIDC_ROLES="staff=viewer"
        ):
            assert flow.sign_in().get("users/me").json()["role"] == "admin"


def test_routes_without_a_provider_report_that_it_is_off(client: Any) -> None:
    assert client.get("/api/v1/auth/oidc").json() == {
        "enabled": False, "issuer": None, "login_url": None,
    }  # fmt: skip
    params = {"redirect_uri": REDIRECT_URI, "code_challenge": "a" * 43}
    answer = client.get("/api/v1/auth/oidc/login", params=params)
    assert (answer.status_code, answer.json()["code"]) == (404, "sso.off")


def test_provider_on_a_forbidden_network_is_not_called(provider: FakeProvider, client: Any) -> None:
    with environment(AIPLATFORM_OUTGOING_NETWORKS=""):
        providers._providers.clear()
        assert Flow(client, provider).begin().status_code == 503


def test_sdk_signs_in_through_a_provider_from_a_library(server_url: str, tmp_path: Any) -> None:
    """Test the whole flow: the SDK's local port, a browser, the provider's form, the redirect."""
    from oidc_provider_mock import User as Person
    from oidc_provider_mock import run_server_in_thread

    from aiplatform.client import Client

    with (
        run_server_in_thread(
            require_nonce=True,
            user_claims=[Person(sub="lin", claims={"preferred_username": "linda"})],
        ) as provider,
        environment(
            AIPLATFORM_OIDC_ISSUER=f"http://127.0.0.1:{provider.server_port}",
            AIPLATFORM_OIDC_CLIENT_ID=CLIENT_ID,
            AIPLATFORM_OIDC_CLIENT_SECRET="secret",
            AIPLATFORM_OUTGOING_NETWORKS="127.0.0.0/8",
            AIPLATFORM_PUBLIC_URL=server_url,
        ),
    ):

        def browser(url: str) -> None:
            with httpx.Client(follow_redirects=False) as http:
                form = http.get(url).headers["location"]
                answer = http.post(form, data={"sub": "lin"})
                while answer.is_redirect:
                    answer = http.get(answer.headers["location"])
                assert "close this window" in answer.text

        def show(url: str) -> None:
            threading.Thread(target=browser, args=(url,), daemon=True).start()

        path = tmp_path / "credentials.json"
        with Client(server_url, credentials=path) as client:
            client.login_sso(show, remember=True, timeout=20)
            assert client.me().username == "linda"
        with Client(server_url, credentials=path) as again:
            assert again.me().username == "linda"

"""Tests of single sign-on with forged ID tokens, and with stolen codes and tokens."""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from aiplatform.server.identity.service import provider as providers
from tests.server.identity.fake_provider import CLIENT_ID, Flow


class TestFalsifiedTokens:
    @pytest.mark.parametrize(
        "change",
        [
            {"nonce": "of another sign-in"},
            {"nonce": None},
            {"iss": "https://evil.example.com"},
            {"iss": None},
            {"aud": "another-client"},
            {"aud": [CLIENT_ID, "another"]},
            {"azp": "another"},
            {"exp": int(time.time()) - 3600},
            {"exp": None},
            {"iat": None},
            {"iat": int(time.time()) + 7200},
            {"sub": None},
            {"sub": ""},
            {"sub": 5},
            {"sub": "x" * 300},
        ],
    )
    def test_wrong_claims_are_refused(self, flow: Flow, change: dict[str, Any]) -> None:
        flow.provider.change = change
        assert flow.back()["error"] == "sso.failed"

    def test_token_signed_with_another_key_is_refused(self, flow: Flow) -> None:
        flow.provider.signs_with = RSAKey.generate_key(2048)
        assert flow.back()["error"] == "sso.failed"

    @pytest.mark.parametrize("keep", [True, False])
    def test_token_without_signature_is_refused(self, flow: Flow, keep: bool) -> None:
        header = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
        claims = jwt.encode({"alg": "RS256"}, {"sub": "x"}, flow.provider.key).split(".")[1]
        flow.provider.raw = f"{header}.{claims}." + ("sig" if keep else "")
        assert flow.back()["error"] == "sso.failed"

    def test_token_signed_with_a_public_or_shared_key_is_refused(self, flow: Flow) -> None:
        for shared in ("secret" * 8, flow.provider.key.as_pem(private=False).decode()):
            flow.provider.header = {"alg": "HS256", "kid": "one"}
            flow.provider.signs_with = OctKey.import_key(shared.replace("\n", "")[:64])
            assert flow.back()["error"] == "sso.failed"

    @pytest.mark.parametrize("raw", ["", "x", "a.b.c", "..", "x" * 100_000])
    def test_invalid_token_is_refused(self, flow: Flow, raw: str) -> None:
        flow.provider.raw = raw
        assert flow.back()["error"] == "sso.failed"

    def test_changed_keys_are_fetched_again(
        self, flow: Flow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flow.sign_in()
        flow.provider.key = RSAKey.generate_key(2048, {"kid": "two"})
        flow.provider.header = {"alg": "RS256", "kid": "two"}
        assert flow.back()["error"] == "sso.failed"  # keys are kept for REFETCH_SECONDS
        monkeypatch.setattr(providers, "REFETCH_SECONDS", 0.0)
        flow.sign_in()


class TestTheft:
    def test_state_of_another_browser_is_refused(self, client: Any, flow: Flow) -> None:
        url = flow.provider.authorize(flow.begin().headers["location"])
        client.cookies.clear()
        answer = flow.finish(url)
        assert (answer.status_code, answer.json()["code"]) == (401, "sso.failed")
        for name in ("aip_sso", "aip_sso_x"):
            client.cookies.set(name, "made up")
        assert flow.finish(url).status_code == 401

    def test_sign_in_can_come_back_once(self, flow: Flow) -> None:
        url = flow.provider.authorize(flow.begin().headers["location"])
        with ThreadPoolExecutor(4) as pool:
            codes = sorted(pool.map(lambda _: flow.finish(url).status_code, range(4)))
        assert codes == [303, 401, 401, 401]

    def test_unknown_state_or_stolen_code_is_refused(self, flow: Flow) -> None:
        begun = flow.begin().headers["location"]
        state = parse_qs(urlsplit(begun).query)["state"][0]
        assert flow.finish("/api/v1/auth/oidc/callback?code=x&state=unknown").status_code == 401
        stolen = flow.finish(f"/api/v1/auth/oidc/callback?code=stolen&state={state}")
        assert "error=sso.failed" in stolen.headers["location"]

    def test_code_of_another_sign_in_is_refused_by_the_provider(self, flow: Flow) -> None:
        """Check that PKCE makes a code stolen from another sign-in worthless."""
        other = flow.provider.authorize(flow.begin().headers["location"])
        code = parse_qs(urlsplit(other).query)["code"][0]
        mine = flow.begin().headers["location"]
        state = parse_qs(urlsplit(mine).query)["state"][0]
        answer = flow.finish(f"/api/v1/auth/oidc/callback?code={code}&state={state}")
        assert "error=sso.failed" in answer.headers["location"]

    def test_code_is_exchanged_once_and_only_by_the_program_that_started(self, flow: Flow) -> None:
        code = flow.back()["code"]
        assert flow.exchange(code, secrets.token_urlsafe(40)).status_code == 401
        with ThreadPoolExecutor(4) as pool:
            codes = sorted(pool.map(lambda _: flow.exchange(code).status_code, range(4)))
        assert codes == [200, 401, 401, 401]
        assert flow.exchange("made-up").status_code == 401

    @pytest.mark.parametrize(
        "uri",
        [
            "https://evil.example.com/",
            "http://127.0.0.1/",
            "http://localhost:9999/",
            "https://127.0.0.1:9999/",
            "http://127.0.0.1:9999@evil.example.com/",
            "http://evil.example.com#http://127.0.0.1:9999/",
            "http://127.0.0.1:8400.evil.example.com/",
            "http://127.0.0.1:9999/#x",
            "//evil.example.com/",
            "javascript:alert(1)",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:9999\\@evil.example.com/",
        ],
    )
    def test_forbidden_redirect_address_is_refused(self, flow: Flow, uri: str) -> None:
        assert flow.begin(redirect_uri=uri).status_code == 422

    def test_cookie_is_limited_to_the_routes_and_hidden_from_scripts(self, flow: Flow) -> None:
        cookie = flow.begin().headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "path=/api/v1/auth/oidc" in cookie

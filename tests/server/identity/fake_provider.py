"""A fake OpenID Connect provider that can send false responses, and a client for it."""

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from aiplatform.server.identity.service.sso import challenge_of
from tests.conftest import Api

REDIRECT_URI = "http://127.0.0.1:9999/"
CLIENT_ID = "platform"


class FakeProvider:
    """An OpenID Connect provider whose ID tokens a test can falsify."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "one"}
        self.signs_with: Any = None
        self.change: dict[str, Any] = {}
        self.person: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.raw: str | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.say(200, outer.get(urlsplit(self.path).path))

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                form = {k: v[0] for k, v in parse_qs(self.rfile.read(length).decode()).items()}
                self.say(*outer.token(form))

            def say(self, status: int, content: Any) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def get(self, path: str) -> Any:
        if path == "/jwks":
            return {"keys": [self.key.as_dict(private=False), {"kty": "odd", "kid": "x"}]}
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }

    def authorize(self, url: str) -> str:
        """Return the callback URL, with a code, to which the provider redirects the browser."""
        asked = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        return f"/api/v1/auth/oidc/callback?code={code}&state={asked['state']}"

    def token(self, form: dict[str, str]) -> tuple[int, Any]:
        asked = self.codes.pop(form["code"], None)
        if asked is None or challenge_of(form["code_verifier"]) != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": "1234", "aud": CLIENT_ID, "iat": now, "exp": now + 300,
            "nonce": asked["nonce"], **self.person, **self.change,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.raw is not None:
            return 200, {"id_token": self.raw}
        algorithms = ["RS256", "HS256"]
        token = jwt.encode(self.header, claims, self.signs_with or self.key, algorithms=algorithms)
        return 200, {"id_token": token}


class Flow:
    def __init__(self, client: Any, provider: FakeProvider) -> None:
        self.client, self.provider = client, provider
        self.verifier = secrets.token_urlsafe(40)

    def begin(self, **changes: Any) -> Any:
        params = {
            "redirect_uri": REDIRECT_URI,
            "code_challenge": challenge_of(self.verifier),
            "state": "s",
        }
        return self.client.get(
            "/api/v1/auth/oidc/login", params={**params, **changes}, follow_redirects=False
        )

    def finish(self, url: str) -> Any:
        return self.client.get(url, follow_redirects=False)

    def back(self, url: str | None = None) -> dict[str, str]:
        """Sign in and return the query parameters of the final redirect to the program."""
        begun = self.begin()
        assert begun.status_code == 303, begun.text
        answer = self.finish(url or self.provider.authorize(begun.headers["location"]))
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].startswith(REDIRECT_URI)
        found = parse_qs(urlsplit(answer.headers["location"]).query)
        assert found["state"] == ["s"]
        return {name: values[0] for name, values in found.items()}

    def exchange(self, code: str, verifier: str | None = None) -> Any:
        body = {"code": code, "code_verifier": verifier or self.verifier}
        return self.client.post("/api/v1/auth/oidc/token", json=body)

    def sign_in(self) -> Api:
        answer = self.exchange(self.back()["code"])
        assert answer.status_code == 200, answer.text
        return Api(self.client, answer.json()["access_token"])

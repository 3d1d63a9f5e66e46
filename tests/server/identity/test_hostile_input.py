"""Tests that hostile input to the account routes is rejected without a server error."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.conftest import Api
from tests.factories import PASSWORD, make_user

NASTY = [
    "\x00", "a\x00b", "\ud800", "%", "_", "\\", "'; DROP TABLE users --", "é" * 100, "🙂", "\u202e",
    "\r\nX: y", "{}", "-1", "9" * 51, "../../etc/passwd", "%00",
]  # fmt: skip


def paths(text: str) -> list[str]:
    from urllib.parse import quote

    return [
        f"users/{quote(text.encode('utf-8', 'surrogatepass'), safe='')}{rest}"
        for rest in ("", "/deactivate", "/activate", "/password-reset", "/sessions", "/totp")
    ]


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_hostile_text_in_paths_and_searches_is_refused(admin: Api, text: str) -> None:
    for path in paths(text):
        methods = ("GET", "PATCH", "DELETE") if path.count("/") == 1 else ("POST", "DELETE")
        for method in methods:
            options: dict[str, Any] = {}
            if method == "PATCH":
                options = {"json": {"email": "x@example.com"}, "headers": {"If-Match": "*"}}
            answer = admin.request(method, path, **options)
            assert answer.status_code in {404, 405, 422}, (method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
    for name in ("q", "role", "cursor", "active", "limit"):
        value = text.encode("utf-8", "replace").decode()
        assert admin.get("users", params={name: value}).status_code in {200, 422}


@pytest.mark.parametrize("text", [text for text in NASTY if text != "\ud800"], ids=ascii)
def test_hostile_text_in_bodies_is_refused(admin: Api, session: Session, text: str) -> None:
    user = make_user(session)
    for method, path, body in (
        ("PATCH", f"users/{user.username}", {"username": text}),
        ("PATCH", f"users/{user.username}", {"email": text}),
        ("PATCH", f"users/{user.username}", {"role": text}),
        ("POST", "invitations", {"email": text}),
        ("POST", "invitations", {"email": "x@example.com", "role": text}),
        ("POST", "invitations", {"email": "x@example.com", "project": text, "project_role": text}),
        ("POST", "auth/accept-invitation", {"token": text, "username": "x1", "password": text}),
        ("POST", "auth/reset-password", {"token": text, "new_password": PASSWORD}),
        ("POST", "auth/forgot-password", {"email": text}),
        ("POST", "auth/register", {"username": text, "email": text, "password": text}),
        ("PUT", "users/me/email", {"email": text, "password": PASSWORD}),
        ("POST", "users/me/totp", {"password": text}),
        ("POST", "users/me/totp/confirm", {"code": text}),
        ("POST", "users/me/totp/disable", {"code": text}),
    ):
        answer = admin.request(method, path, json=body, headers={"If-Match": "*"})
        assert answer.status_code in {403, 404, 409, 422, 429}, (path, body, answer.text)


def test_surrogates_and_deeply_nested_bodies_are_refused(admin: Api) -> None:
    for body in (
        b'{"email": "\\ud800@example.com"}',
        b"[" * 5000,
        b'{"email": ' * 900,
        b"\xff\xfe",
    ):
        answer = admin.post(
            "invitations", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in {400, 422}, (body[:30], answer.status_code, answer.text)


@pytest.mark.parametrize(
    "field", ["password_hash", "is_active", "id", "uuid", "created_at", "totp_enabled"]
)
def test_internal_fields_can_not_be_set(admin: Api, session: Session, field: str) -> None:
    user = make_user(session)
    for method, path in (("PATCH", f"users/{user.username}"), ("POST", "users")):
        body = {field: "x", "email": "y@example.com"}
        answer = admin.request(method, path, json=body, headers={"If-Match": "*"})
        assert answer.status_code == 422

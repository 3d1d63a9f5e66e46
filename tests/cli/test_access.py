"""Tests of API keys, roles and ownership on the command line."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import PROJECT, P, Ran, posted
from tests.client.fake import FakeServer, answer, page
from tests.openapi_checks import Partial

Run = Callable[..., Ran]
K = "00000000-0000-4000-8000-00000000000a"
KEY = Partial(
    {
        "uuid": K,
        "name": "ci",
        "prefix": "aip_key_abcd",
        "scopes": ["datasets:read"],
        "user": {"uuid": K, "username": "ann"},
    }
)
ROLE = Partial({"uuid": K, "name": "labeler", "permissions": ["datasets:read"], "is_system": False})


def test_keys_create_prints_key_once_on_last_line_of_stdout(run: Run, server: FakeServer) -> None:
    server.on("POST users/me/keys", answer(KEY | {"key": "aip_key_abcdefgh"}, 201))
    ran = run("keys", "create", "ci", "-s", "datasets:read", "--days", "3")
    assert ran.out.rstrip().endswith("\naip_key_abcdefgh")
    assert ran.out.count("aip_key_abcdefgh") == 1
    assert "not shown again" in ran.err
    assert posted(server, "users/me/keys") == {
        "name": "ci", "scopes": ["datasets:read"], "expires_in_days": 3,
    }  # fmt: skip
    assert json.loads(run("keys", "create", "ci", "-s", "x", "--json").out)["key"].startswith("aip")


def test_keys_are_listed_and_revoked_by_name(run: Run, server: FakeServer) -> None:
    server.on("GET users/me/keys", page(KEY))
    server.on("GET users/ann/keys", page(KEY))
    server.on("GET users/me", answer(Partial({"uuid": K, "username": "root"})))
    server.on(f"DELETE users/me/keys/{K}", answer(None, 204))
    server.on(f"DELETE users/ann/keys/{K}", answer(None, 204))
    assert "aip_key_abcd…" in run("keys", "ls").out
    assert run("keys", "revoke", "ci", "--yes").code == 0
    assert run("keys", "revoke", K, "--user", "ann", "--yes").code == 0
    assert run("keys", "revoke", "other", "--yes").code == 2


def test_roles_commands_list_create_change_and_delete_roles(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: dict[str, Any] = ROLE | {"permissions": ["datasets:write"]}
    vocabulary = {
        "permission": "datasets:read", "resource": "datasets", "action": "read",
        "description": "Read datasets", "description_zh": "查看", "reaches_projects": True,
    }  # fmt: skip
    server.on("GET roles", page(ROLE))
    server.on("GET permissions", page(vocabulary))
    server.on("GET roles/labeler", answer(ROLE))
    server.on("POST roles", answer(ROLE, 201))
    server.on(f"GET roles/{K}", answer(ROLE))
    server.on(f"PATCH roles/{K}", answer(changed))
    server.on("DELETE roles/labeler", answer(None, 204))
    assert "labeler" in run("roles", "ls").out
    assert "Read datasets" in run("roles", "permissions").out
    monkeypatch.setenv("AIPLATFORM_LANG", "zh")
    shown = run("roles", "permissions").out
    assert "查看" in shown
    assert "Read datasets" not in shown
    run("roles", "ls")
    assert server.requests[-1].headers["accept-language"] == "zh"
    monkeypatch.delenv("AIPLATFORM_LANG")
    assert "labeler" in run("roles", "show", "labeler").out
    assert run("roles", "create", "labeler", "datasets:read", "-d", "x").code == 0
    assert posted(server, "roles")["permissions"] == ["datasets:read"]
    ran = run("roles", "set", "labeler", "--add", "datasets:write", "--remove", "datasets:read")
    assert ran.code == 0, ran.err
    sent = [json.loads(body) for body in server.bodies if body and b"permissions" in body]
    assert sent[-1] == {"permissions": ["datasets:write"]}
    assert run("roles", "set", "labeler").code == 2
    assert run("roles", "rm", "labeler", "--yes").code == 0


def test_projects_leave_transfer_and_access(run: Run, server: FakeServer) -> None:
    because = {"source": "membership", "role": "viewer", "grants": ["datasets:read"]}
    server.on("GET projects", page(PROJECT))
    server.on(f"GET projects/{P}", answer(PROJECT))
    server.on(f"POST projects/{P}/leave", answer(None, 204))
    server.on(f"POST projects/{P}/transfer", answer(PROJECT))
    explained: dict[str, Any] = {
        "user": {"uuid": K, "username": "ann"},
        "is_active": True,
        "reasons": [because],
        "permissions": [{"permission": "datasets:read", "because": [because]}],
        "keys": [
            {"uuid": K, "name": "ci", "prefix": "aip_key_abcd", "scopes": [], "permissions": []}
        ],
    }
    server.on(f"GET projects/{P}/access", answer(explained))
    assert run("projects", "leave", "demo", "--yes").code == 0
    assert run("projects", "transfer", "demo", "ann", "--keep", "viewer", "--yes").code == 0
    assert posted(server, "transfer") == {"user": "ann", "keep_role": "viewer"}
    ran = run("projects", "access", "demo", "ann")
    assert "membership: viewer" in ran.out
    assert "here: nothing" in ran.err


def test_login_sso_on_server_without_sso_is_refused(run: Run, server: FakeServer) -> None:
    server.on("GET auth/oidc", answer({"enabled": False, "issuer": None, "login_url": None}))
    ran = run("login", "--sso")
    assert ran.code == 1
    assert "no single sign-on" in ran.err

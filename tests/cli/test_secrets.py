"""Tests of ``aiplatform secrets``: values come from a file or stdin, never as arguments."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ran
from tests.client.fake import FakeServer, answer, page, problem

Run = Callable[..., Ran]
TIME = "2026-11-24T08:00:00Z"
HUB = {"name": "hub", "kind": "hub_token", "created_at": TIME, "updated_at": TIME,
       "last_used_at": None}  # fmt: skip


def body(server: FakeServer) -> Any:
    return json.loads(server.bodies[-1])


def test_ls_lists_names(run: Run, server: FakeServer) -> None:
    server.on("GET users/me/secrets", page(HUB))
    ran = run("secrets", "ls")
    assert "hub" in ran.out
    assert "never" in ran.out


def test_set_reads_the_value_from_a_file(run: Run, server: FakeServer, tmp_path: Path) -> None:
    server.on("PUT users/me/secrets/hub", answer(HUB, status=201))
    (tmp_path / "token").write_text("hf_x\n")
    ran = run("secrets", "set", "hub", "--kind", "hub_token", "--file", str(tmp_path / "token"))
    assert ran.code == 0, ran.err
    assert body(server) == {"value": "hf_x", "kind": "hub_token"}
    assert "hf_x" not in ran.out + ran.err


def test_set_reads_the_value_from_stdin(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("PUT users/me/secrets/hub", answer(HUB))
    monkeypatch.setattr("sys.stdin", io.StringIO("two\nlines\n"))
    assert run("secrets", "set", "hub").code == 0
    assert body(server)["value"] == "two\nlines"


def test_set_with_the_value_as_argument_is_refused(run: Run, server: FakeServer) -> None:
    assert run("secrets", "set", "hub", "hf_x").code == 2
    assert not server.requests


def test_set_with_empty_value_is_refused(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert run("secrets", "set", "hub").code == 2
    assert not server.requests


def test_rm_deletes_a_secret(run: Run, server: FakeServer) -> None:
    server.on("DELETE users/me/secrets/hub", answer(status=204))
    assert "Removed" in run("secrets", "rm", "hub").err
    server.on(
        "DELETE users/me/secrets/none",
        problem(404, "resource.not_found", "There is no such one."),
    )
    assert run("secrets", "rm", "none").code == 1


def test_import_with_invalid_secret_option_is_refused(run: Run, server: FakeServer) -> None:
    assert run("models", "import", "hub:a/b", "--secret", "HF_TOKEN").code == 2
    assert not server.requests

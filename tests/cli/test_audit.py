"""Tests of ``aiplatform audit``, with the real database and with the scripted server."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.database import transaction
from aiplatform.server.core.settings import get_settings
from tests.cli.conftest import Ran
from tests.client.fake import FakeServer, answer, page, problem
from tests.openapi_checks import Partial

Run = Callable[..., Ran]
ENTRY = Partial(
    {
        "uuid": "00000000-0000-4000-8000-000000000009",
        "action": "dataset:created",
        "outcome": "success",
        "user": {"uuid": None, "username": "lin"},
        "resource_type": "dataset",
        "resource_id": "x",
        "ip_address": "192.0.2.1",
        "created_at": "2026-11-01T00:00:00Z",
    }
)


@pytest.fixture
def database(environment: dict[str, str], fresh_database: str) -> str:
    """Create a database, and set its address after ``environment`` has removed all settings."""
    return fresh_database


def write(count: int) -> list[int]:
    with transaction() as session:
        return [
            audit.record(session, audit.SYSTEM, AuditAction.DATASET_CREATED, "dataset", n=n)
            for n in range(count)
        ]


def test_audit_ls_sends_filters(run: Run, server: FakeServer) -> None:
    server.on("GET audit", page(ENTRY))
    done = run("audit", "ls", "--user", "lin", "--address", "192.0.2.0/24", "--text", "a b")
    assert done.code == 0, done.err
    assert "dataset:created" in done.out
    assert "192.0.2.1" in done.out
    sent = server.requests[-1].url.params
    assert sent["user"] == "lin"
    assert sent["address"] == "192.0.2.0/24"
    assert sent["text"] == "a b"
    assert "project" not in sent


def test_audit_ls_shows_names_of_resources(run: Run, server: FakeServer) -> None:
    """Check that names come from the entry, other entries or the server, but not with --json."""
    first, second, gone, user, session = (
        f"00000000-0000-4000-8000-00000000000{n}" for n in range(1, 6)
    )

    def entry(uuid: str, kind: str = "dataset", **details: object) -> Partial:
        return ENTRY | {"resource_type": kind, "resource_id": uuid, "details": details}

    server.on("GET audit", page(
        entry(first), entry(first, name="faq", version="v2"), entry(second), entry(gone),
        entry(first, name="faq", version={"before": "v1", "after": "v2"}), entry(user, "user"),
        entry(session, "session"),
    ))  # fmt: skip
    server.on(f"GET datasets/{second}", answer(Partial({"uuid": second, "name": "other"})))
    server.on(f"GET datasets/{gone}", problem(404, "resource.not_found", "gone"))
    server.on(f"GET users/{user}", answer(Partial({"uuid": user, "username": "lin"})))
    done = run("audit", "ls")
    shown = [line.split("success")[1].split("192.")[0].strip()
             for line in done.out.splitlines()[1:]]  # fmt: skip
    assert shown == [
        "dataset faq", "dataset faq@v2", "dataset other", f"dataset {gone[:8]}", "dataset faq",
        "user lin", f"session {session[:8]}",
    ]  # fmt: skip
    before = len(server.requests)
    whole = json.loads(run("audit", "ls", "--json").out)
    assert [item["resource_id"] for item in whole][:3] == [first, first, second]
    assert len(server.requests) == before + 1


def test_audit_export_writes_a_file(run: Run, server: FakeServer, tmp_path: Path) -> None:
    exported = {"Content-Type": "text/csv", "Content-Disposition": "attachment"}
    server.on("GET audit/export", httpx.Response(200, content="time,user\n", headers=exported))
    done = run("audit", "export", str(tmp_path / "f.csv"), "--csv", "--action", "task:")
    assert done.code == 0, done.err
    assert server.requests[-1].url.params["format"] == "csv"
    assert "time,user" in (tmp_path / "f.csv").read_text()


def test_audit_keygen_writes_private_key_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    assert run("audit", "keygen", str(path)).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert b"PRIVATE KEY" in before
    assert b"PUBLIC KEY" in (tmp_path / "audit.key.pub").read_bytes()
    again = run("audit", "keygen", str(path))
    assert again.code == 1
    assert "File exists" in again.err
    assert path.read_bytes() == before


@pytest.mark.usefixtures("database")
def test_audit_verify_with_head_and_public_key_finds_changes(run: Run, tmp_path: Path) -> None:
    write(3)
    assert run("audit", "keygen", str(tmp_path / "key")).code == 0
    sealed = run("audit", "seal", "--key", str(tmp_path / "key"), "--json")
    assert sealed.code == 0, sealed.err
    head = json.loads(sealed.out)["head"]
    public = str(tmp_path / "key.pub")
    good = run("audit", "verify", "--head", head, "--public-key", public)
    assert good.code == 0, good.out + good.err
    assert "Intact: 3 rows under 1 seals." in good.out
    assert head in good.out

    assert run("audit", "verify", "--head", "2:" + "ab" * 32, "--json").code == 1
    bad = run("audit", "verify", "--head", "1:" + "ab" * 32)
    assert bad.code == 1
    assert "replaced: seal 1" in bad.out
    assert run("audit", "keygen", str(tmp_path / "other")).code == 0
    unsigned = run("audit", "verify", "--public-key", str(tmp_path / "other.pub"))
    assert unsigned.code == 1
    assert "no seal is signed" in unsigned.out


@pytest.mark.usefixtures("database")
def test_audit_archive_and_prune_keep_rows_verifiable(run: Run) -> None:
    write(4)
    assert run("audit", "seal").code == 0
    assert json.loads(run("audit", "archive", "--days", "0", "--json").out) == {"archived": 4}
    assert json.loads(run("audit", "prune", "--days", "0", "--json").out) == {"pruned": 4}
    with transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM audit_logs")) == 0
    verdict = json.loads(run("audit", "verify", "--json").out)
    assert (verdict["intact"], verdict["rows"], verdict["archived"]) == (True, 4, 4)


def test_audit_prune_without_owner_role_names_the_setting(run: Run, database: str) -> None:
    write(1)
    assert run("audit", "seal").code == 0
    assert run("audit", "archive", "--days", "0").code == 0
    # Use a separate MonkeyPatch: that of `run` would restore this setting after the database is
    # gone.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIPLATFORM_MIGRATION_DATABASE_URL", database)
        get_settings.cache_clear()
        done = run("audit", "prune", "--days", "0")
    assert done.code == 1
    assert "permission denied" in done.err
    assert "AIPLATFORM_MIGRATION_DATABASE_URL" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "--head", "nonsense"),
        ("verify", "--public-key", "/nowhere"),
        ("verify", "/nowhere"),
        ("seal", "--key", "/dev/null"),
    ],
)
def test_audit_with_invalid_arguments_prints_an_error(run: Run, arguments: tuple[str, ...]) -> None:
    done = run("audit", *arguments)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.err.startswith("Error:")


def test_audit_verify_of_a_file_that_is_no_export_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hello\n")
    done = run("audit", "verify", str(tmp_path / "f"))
    assert done.code == 1
    assert "not a trail" in done.out

"""Tests of imports from a server on this machine, with the real runner and runtime."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.queue.models import Task
from tests.conftest import Api, environment
from tests.factories import make_member, make_secret
from tests.fake_remote_server import FakeRemoteServer, fake_remote_server
from tests.server.datasets.conftest import jsonl
from tests.server.datasets.imports.conftest import ROWS, delete_quality_reports, url

StoredState = Callable[[], dict[str, Any]]


class TestUrls:
    def test_fetched_file_becomes_a_version(
        self,
        there: FakeRemoteServer,
        ask: Callable[..., Any],
        run: Callable[..., dict[str, Any]],
        mine: Api,
        session: Session,
        owner: User,
    ) -> None:
        there.files["/rows.jsonl"] += b"{\n"
        there.cuts = [100_000]
        ended = run(
            ask(
                url(there),
                map={"question": "prompt", "answer": "completion"},
                bad_rows="quarantine",
                message="from outside",
            )
        )
        assert ended["status"] == "completed", ended["error_message"]
        made = ended["result"]
        assert (made["version"], made["rows"], made["quarantined"]) == ("v1", 3000, 1)
        version = mine.get(f"datasets/{made['dataset']}/versions/v1").json()
        assert version["shape"] == "prompt_completion"
        assert version["message"] == "from outside"
        assert version["author"]["uuid"] == str(owner.uuid)
        source = version["read_as"]["source"]
        assert source == {"kind": "url", "from": f"{there.url}/rows.jsonl", "files": 1}
        content = f"datasets/{made['dataset']}/versions/v1/content"
        original = mine.get(content, params={"format": "original"})
        assert original.content == there.files["/rows.jsonl"]
        aside = mine.get(content, params={"format": "quarantine"}).content
        assert json.loads(aside)["line"] == 3001
        assert there.range_starts() == [0, 100_000]
        actions = session.scalars(
            select(AuditLog.action).where(AuditLog.resource_id == made["dataset"])
        ).all()
        assert set(actions) >= {"dataset:created", "dataset_version:created"}
        quality = session.scalars(select(Task).where(Task.type == "data_quality")).all()
        assert len(quality) == 1

    def test_import_into_dataset_with_token_adds_a_version(
        self,
        there: FakeRemoteServer,
        ask: Callable[..., Any],
        run: Callable[..., dict[str, Any]],
        mine: Api,
        upload: Callable[..., Any],
        session: Session,
        owner: User,
    ) -> None:
        uuid = upload(jsonl(ROWS[:10])).json()["uuid"]
        delete_quality_reports()
        there.token = "opens-it"
        refused = run(ask(url(there), dataset=uuid))
        assert refused["status"] == "failed"
        assert "token" in refused["error_message"]
        make_secret(session, owner, "opens-it", name="web")
        ended = run(ask(url(there), dataset=uuid, secrets={"HTTP_TOKEN": "web"}))
        assert ended["status"] == "completed", ended["error_message"]
        version = mine.get(f"datasets/{uuid}/versions/v2").json()
        assert (version["parent"], version["row_count"]) == ("v1", 3000)
        delete_quality_reports()
        again = run(ask(url(there), dataset=uuid, secrets={"HTTP_TOKEN": "web"}))
        assert again["status"] == "failed"
        assert "v2" in again["error_message"]
        assert mine.get(f"datasets/{uuid}").json()["version"] == "v2"

    def test_malformed_file_fails_and_leaves_nothing(
        self,
        there: FakeRemoteServer,
        ask: Callable[..., Any],
        run: Callable[..., dict[str, Any]],
        stored_state: StoredState,
    ) -> None:
        there.files["/broken.jsonl"] = jsonl(ROWS[:5]) + b"{\n"
        before = stored_state()
        ended = run(ask(url(there, "/broken.jsonl")))
        assert ended["status"] == "failed"
        assert "line 6" in ended["error_message"]
        assert stored_state() == before
        assert list(get_settings().work_dir.rglob("*.parquet")) == []

    def test_name_taken_meanwhile_fails_the_import(
        self,
        there: FakeRemoteServer,
        ask: Callable[..., Any],
        run: Callable[..., dict[str, Any]],
        upload: Callable[..., Any],
    ) -> None:
        answer = ask(url(there), name="mine")
        assert upload(jsonl(ROWS[:3]), name="mine").status_code == 201
        delete_quality_reports()
        ended = run(answer)
        assert ended["status"] == "failed"
        assert "mine" in ended["error_message"]

    def test_author_who_lost_membership_commits_nothing(
        self,
        there: FakeRemoteServer,
        ask: Callable[..., Any],
        run: Callable[..., dict[str, Any]],
        api: Callable[..., Api],
        session: Session,
        project: Project,
        stored_state: StoredState,
    ) -> None:
        member = make_member(session, project, "admin")
        answer = ask(url(there), as_user=api(member))
        session.execute(delete(ProjectPermission).where(ProjectPermission.user_id == member.id))
        session.commit()
        before = stored_state()
        ended = run(answer)
        assert ended["status"] == "failed"
        assert {**stored_state(), "blobs": 0, "stored": []} == {**before, "blobs": 0, "stored": []}

    def test_cancelled_import_leaves_nothing(
        self,
        there: FakeRemoteServer,
        ask: Callable[..., Any],
        run: Callable[..., dict[str, Any]],
        mine: Api,
        stored_state: StoredState,
    ) -> None:
        there.stalls.add("/rows.jsonl")
        before = stored_state()

        def cancel(uuid: str) -> None:
            deadline = time.monotonic() + 30
            while not there.requests and time.monotonic() < deadline:
                time.sleep(0.05)
            assert mine.post(f"tasks/{uuid}/cancel").status_code in {200, 202}

        ended = run(ask(url(there)), cancel)
        assert ended["status"] == "cancelled"
        assert stored_state() == before


def test_import_from_s3_uses_secrets_and_does_not_reveal_them(
    there: FakeRemoteServer,
    ask: Callable[..., Any],
    run: Callable[..., dict[str, Any]],
    session: Session,
    project: Project,
) -> None:
    make_secret(session, project, "AKIAEXAMPLE", name="s3-id")
    make_secret(session, project, "hidden-away", name="s3-key")
    there.files["/bucket/a/rows.csv"] = b"text,label\nx,y\nz,y\n"
    ended = run(
        ask(
            {"kind": "s3", "uri": "s3://bucket/a/rows.csv", "endpoint": there.url},
            secrets={"AWS_ACCESS_KEY_ID": "s3-id", "AWS_SECRET_ACCESS_KEY": "s3-key"},
        )
    )
    assert ended["status"] == "completed", ended["error_message"]
    assert ended["result"]["rows"] == 2
    asked = there.requests[0][0]
    assert "X-Amz-Credential=AKIAEXAMPLE" in asked
    assert "X-Amz-Signature=" in asked
    kept = json.dumps(ended)
    assert "AKIAEXAMPLE" not in kept
    assert "hidden-away" not in kept


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_import_of_hub_split_fetches_all_its_files(
    hub: str,
    ask: Callable[..., Any],
    run: Callable[..., dict[str, Any]],
    mine: Api,
    tmp_path: Path,
) -> None:
    files = {}
    for number_of in range(3):
        path = tmp_path / "part.parquet"
        texts = [f"{number_of}-{n}" for n in range(10)]
        pq.write_table(pa.table({"text": texts, "n": list(range(10))}), path)
        files[f"data/train-0000{number_of}-of-00003.parquet"] = path.read_bytes()
    files["data/test.jsonl"] = b'{"text": "held"}\n'
    files["load.py"] = b"raise SystemExit"
    with fake_remote_server() as server:
        server.repositories["someone/talk"] = files
        # AIPLATFORM_OUTGOING_NETWORKS is not set: the hub in the settings is always allowed.
        with environment(AIPLATFORM_HUB=hub, AIPLATFORM_HUB_ENDPOINT=server.url):
            source = {"kind": "hub", "repository": "someone/talk", "split": "train"}
            ended = run(ask(source, name="talk"))
        assert ended["status"] == "completed", ended["error_message"]
        assert not any("load.py" in path for path, _ in server.requests)
    made = ended["result"]
    assert made["rows"] == 30
    assert made["source"]["repository"] == "someone/talk"
    assert made["source"]["files"] == 3
    page = mine.get(f"datasets/{made['dataset']}/versions/v1/rows", params={"offset": 9}).json()
    assert [row["text"] for row in page["items"][:2]] == ["0-9", "1-0"]


def test_bad_rows_of_several_files_are_kept(
    ask: Callable[..., Any], run: Callable[..., dict[str, Any]], mine: Api
) -> None:
    files = {f"train-{n}.jsonl": jsonl(ROWS[:200]) + b"{%d\n" % n for n in range(2)}
    with fake_remote_server() as server:
        server.repositories["someone/talk"] = files
        with environment(AIPLATFORM_HUB="huggingface", AIPLATFORM_HUB_ENDPOINT=server.url):
            source = {"kind": "hub", "repository": "someone/talk", "split": "train"}
            ended = run(ask(source, bad_rows="quarantine"))
    assert ended["status"] == "completed", ended["error_message"]
    made = ended["result"]
    assert (made["rows"], made["quarantined"], made["source"]["files"]) == (400, 2, 2)
    version = f"datasets/{made['dataset']}/versions/{made['version']}"
    read_as = mine.get(version).json()["read_as"]
    assert (read_as["quarantined"]["rows"], read_as["source"]["files"]) == (2, 2)
    answer = mine.get(f"{version}/content", params={"format": "quarantine"})
    assert answer.status_code == 200, answer.text
    aside = [json.loads(line) for line in answer.content.splitlines()]
    assert [row["raw"] for row in aside] == ["{0", "{1"]

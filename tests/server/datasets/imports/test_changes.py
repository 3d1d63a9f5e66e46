"""Tests of imports that change the rows of a dataset."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.client import Client
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import make_token
from tests.fake_remote_server import FakeRemoteServer
from tests.server.datasets.conftest import jsonl
from tests.server.datasets.imports.conftest import Ask, RunTask, delete_quality_reports, url

StoredState = Callable[[], dict[str, Any]]
ROWS = [{"id": n, "text": f"t{n}", "label": "ab"[n % 2]} for n in range(30)]


def test_import_keeps_named_column_types(
    there: FakeRemoteServer, ask: Ask, run: RunTask, mine: Api, upload: Callable[..., Any]
) -> None:
    first = upload(b"n,z,m\n1,2,3.5\n", filename="x.csv", types='{"n": "integer", "z": "text"}')
    uuid = first.json()["uuid"]
    there.files["/more.csv"] = b"n,z,m\n4,5,6\n"
    delete_quality_reports()
    # Clients can't send the types of the previous version; only the server sets them.
    forged = {"types": {"m": "text"}, "named": {"m": "date"}}
    assert ask(url(there, "/more.csv"), dataset=uuid, before=forged).status_code == 422
    ended = run(ask(url(there, "/more.csv"), dataset=uuid))
    assert ended["status"] == "completed", ended["error_message"]
    version = mine.get(f"datasets/{uuid}/versions/v2").json()
    types = {column["name"]: column["type"] for column in version["columns"]}
    assert types == {"n": "integer", "z": "text", "m": "number"}

    there.files["/more.csv"] = b"n,z,m\n4,5,6\nfive,5,6\n"
    for mode in ("replace", "append"):
        delete_quality_reports()
        ended = run(ask(url(there, "/more.csv"), dataset=uuid, mode=mode))
        assert ended["status"] == "failed"
        told = ended["error_message"]
        assert all(part in told for part in ("line 3", "“n”", "integer", "five", "--type")), told


def test_import_appends_or_upserts_rows_of_current_version(
    there: FakeRemoteServer,
    ask: Ask,
    run: RunTask,
    mine: Api,
    upload: Callable[..., Any],
) -> None:
    """Check that imports change the version that is current once their rows have been fetched.

    If the request names a parent version, the import changes that version instead.
    """
    first = [{"id": n, "text": f"t{n}"} for n in range(3)]
    uuid = upload(jsonl(first)).json()["uuid"]
    answer = ask(url(there, "/more.jsonl"), dataset=uuid, mode="append", message="more")
    patched = mine.post(f"datasets/{uuid}/patch", json={"delete": [0]})
    assert patched.status_code == 201, patched.text
    delete_quality_reports()
    there.files["/more.jsonl"] = more = jsonl([{"id": 1, "text": "new"}, {"id": 9}])
    ended = run(answer)
    assert ended["status"] == "completed", ended["error_message"]
    version = mine.get(f"datasets/{uuid}/versions/v3").json()
    assert (version["parent"], version["row_count"], version["message"]) == ("v2", 4, "more")
    facts = version["made_by"]
    assert (facts["operation"], facts["added"], facts["from"]) == ("append", 2, "v2")
    assert version["read_as"]["source"]["from"].endswith("/more.jsonl")
    original = mine.get(f"datasets/{uuid}/versions/v3/content", params={"format": "original"})
    assert original.content == more

    delete_quality_reports()
    body = {"dataset": uuid, "mode": "upsert", "key": "id", "parent": "v1"}
    assert run(ask(url(there, "/more.jsonl"), **body))["status"] == "completed"
    rows = mine.get(f"datasets/{uuid}/versions/v4/rows").json()["items"]
    assert rows == [first[0], {"id": 1, "text": "new"}, first[2], {"id": 9, "text": None}]

    delete_quality_reports()
    body = {"dataset": uuid, "mode": "delete", "key": "absent"}
    ended = run(ask(url(there, "/more.jsonl"), **body))
    assert ended["status"] == "failed"
    assert "absent" in ended["error_message"]
    assert mine.get(f"datasets/{uuid}").json()["version"] == "v4"


def test_import_in_delete_mode_deletes_rows_by_key(
    there: FakeRemoteServer, ask: Ask, run: RunTask, mine: Api, upload: Callable[..., Any]
) -> None:
    uuid = upload(jsonl(ROWS)).json()["uuid"]
    delete_quality_reports()
    there.files["/gone.csv"] = b"id\n3\n29\n300\n"
    body = {"dataset": uuid, "mode": "delete", "key": "id"}
    ended = run(ask(url(there, "/gone.csv"), **body))
    assert ended["status"] == "completed", ended["error_message"]
    made = mine.get(f"datasets/{uuid}/versions/v2").json()
    facts = {key: made["made_by"][key] for key in ("operation", "key", "added", "deleted", "from")}
    assert facts == {
        "operation": "delete", "key": "id", "added": 0, "deleted": 2, "from": "v1",
    }  # fmt: skip
    left = mine.get(f"datasets/{uuid}/versions/v2/rows").json()["items"]
    assert left == [row for row in ROWS if row["id"] not in {3, 29}]


@pytest.mark.parametrize("mode", ["append", "upsert", "delete"])
def test_import_in_each_mode_applies_reading_options(
    there: FakeRemoteServer,
    ask: Ask,
    run: RunTask,
    mine: Api,
    upload: Callable[..., Any],
    mode: str,
) -> None:
    """Check that column maps, quarantine and CSV dialects work as they do for uploaded files."""
    first = [{"text": f"t{n}", "label": "a"} for n in range(30)]
    uuid = upload(jsonl(first)).json()["uuid"]
    delete_quality_reports()
    lines = [f"t{n};b" for n in range(20, 40)]
    there.files["/new.csv"] = "\n".join(["what;kind", *lines, "x;y;z"]).encode()
    key = {} if mode == "append" else {"key": "text"}
    ended = run(
        ask(
            url(there, "/new.csv"), dataset=uuid, mode=mode, **key, bad_rows="quarantine",
            map={"what": "text", "kind": "label"}, delimiter=";",
        )
    )  # fmt: skip
    assert ended["status"] == "completed", ended["error_message"]
    assert ended["result"]["quarantined"] == 1
    made = mine.get(f"datasets/{uuid}/versions/v2").json()
    assert made["read_as"]["dialect"]["delimiter"] == ";"
    assert made["read_as"]["map"] == {"what": "text", "kind": "label"}
    aside = mine.get(f"datasets/{uuid}/versions/v2/content", params={"format": "quarantine"})
    assert aside.json()["line"] == 22
    rows = mine.get(f"datasets/{uuid}/versions/v2/rows", params={"limit": 100}).json()["items"]
    new = [{"text": f"t{n}", "label": "b"} for n in range(20, 40)]
    left = {"append": [*first, *new], "upsert": [*first[:20], *new], "delete": first[:20]}
    assert rows == left[mode]


@pytest.fixture
def sdk(server_url: str, session: Session, owner: User, project: Project) -> Iterator[Client]:
    token = make_token(session, owner)
    with Client(server_url, token=token, project=str(project.uuid)) as client:
        yield client


def test_import_by_sdk_changes_dataset(
    there: FakeRemoteServer, run: RunTask, upload: Callable[..., Any], sdk: Client
) -> None:
    upload(jsonl(ROWS), name="faq")
    there.files["/more.csv"] = b"id,words,label\n1,one,b\n77,new,b\n"
    read = {"map": {"words": "text", "label": "label"}}
    for mode, key, rows in (("upsert", "id", 31), ("append", None, 33), ("delete", "id", 29)):
        delete_quality_reports()
        asked = sdk.datasets.import_url(
            f"{there.url}/more.csv", dataset="faq", mode=mode, key=key, **read
        )
        ended = run(asked)
        assert ended["status"] == "completed", ended["error_message"]
        made = sdk.datasets.version("faq", ended["result"]["version"])
        assert (made.row_count, (made.made_by or {})["operation"]) == (rows, mode)
        assert asked.refresh().result == ended["result"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"id": 1}\n{\n', "line 2"), (b"\x00", ""), (b'{"number": 1}\n', "table")],
    ids=["broken", "no text", "no key"],
)
def test_failed_import_leaves_nothing(
    there: FakeRemoteServer, ask: Ask, run: RunTask, upload: Callable[..., Any],
    stored_state: StoredState, mine: Api, content: bytes, said: str,
) -> None:  # fmt: skip
    uuid = upload(jsonl(ROWS)).json()["uuid"]
    delete_quality_reports()
    there.files["/bad.jsonl"] = content
    before = stored_state()
    ended = run(ask(url(there, "/bad.jsonl"), dataset=uuid, mode="upsert", key="id"))
    assert ended["status"] == "failed"
    assert said in ended["error_message"]
    assert stored_state() == before
    assert mine.get(f"datasets/{uuid}").json()["version"] == "v1"

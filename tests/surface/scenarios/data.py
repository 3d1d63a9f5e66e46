"""Scenarios for datasets: uploads, changes, reading, quality reports, quality gates, imports."""

import base64
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from aiplatform.client import DatasetVersion
from tests.surface.live_platform import PROJECT, LivePlatform, scenario

WHERE = [{"column": "n", "op": ">", "value": 1}]


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """Serve a directory's files over HTTP and yield their base URL."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(directory))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def table(*numbers: int, column: str = "text") -> bytes:
    """Return rows as JSON Lines, each with a number and text."""
    return b"".join(json.dumps({"n": n, column: f"row {n}"}).encode() + b"\n" for n in numbers)


@scenario(
    "Dataset.download",
    "Dataset.iter_batches",
    "Dataset.pull",
    "Dataset.refresh",
    "Dataset.rows",
    "Dataset.to_arrow",
    "Dataset.to_hf",
    "Dataset.to_pandas",
    "Dataset.to_polars",
    "Dataset.versions",
    "DatasetVersion.iter_batches",
    "DatasetVersion.pull",
    "DatasetVersion.to_arrow",
    "DatasetVersion.to_hf",
    "DatasetVersion.to_pandas",
    "DatasetVersion.to_polars",
    "Datasets.diff",
    "Datasets.download",
    "Datasets.find",
    "Datasets.gc",
    "Datasets.get",
    "Datasets.list",
    "Datasets.path",
    "Datasets.pull",
    "Datasets.reference",
    "Datasets.resolve",
    "Datasets.rows",
    "Datasets.sample",
    "Datasets.storage",
    "Datasets.storage_of",
    "Datasets.uploads",
    "Datasets.version",
    "Datasets.versions",
    "Datasets.wait_ready",
    "Pages.all",
    "Pages.first",
    "Pages.take",
    "Projects.list",
    "Projects.path",
    "Projects.resolve",
    "Resource.bind",
    "Resource.client",
)
def reading(live: LivePlatform) -> None:
    datasets, made = live.client.datasets, live.dataset
    assert made.client is live.client
    projects = live.client.projects
    assert projects.resolve(None) in [found.uuid for found in projects.list()]
    assert projects.path(None) == f"projects/{projects.resolve(None)}"
    assert made.uuid in [found.uuid for found in datasets.list()]
    assert datasets.get("questions").refresh().version == "v2"
    found = datasets.find("questions")
    assert found is not None
    assert found.uuid == datasets.resolve("questions") == made.uuid
    assert datasets.path("questions") == datasets.path(made)
    assert datasets.reference("questions@v1").version == "v1"
    assert datasets.wait_ready("questions").status == "ready"
    rows = made.rows().all()
    assert len(rows) == 25
    assert datasets.rows(made).take(2) == rows[:2]
    assert len(datasets.sample(made, 2)) == 2
    diff = datasets.diff(made, "v1", "v2")
    assert diff.summary
    assert diff.entries.first() is not None
    assert [version.version for version in datasets.versions(made)] == ["v2", "v1"]
    assert made.versions().all() == datasets.versions(made).all()
    version = datasets.version(made, "v1")
    assert made.download(live.tmp).read_bytes().count(b"\n") == 25
    datasets.download(made, saved := live.tmp / "rows.parquet", format="parquet")
    assert saved.stat().st_size > 0
    assert datasets.pull(made).path.exists()
    for source, count in ((made, 25), (version, 20)):
        assert source.pull().path.exists()
        tables = source.to_arrow(), source.to_pandas(), source.to_polars(), source.to_hf()
        assert [len(table) for table in tables] == [count] * 4
        assert sum(len(batch) for batch in source.iter_batches()) == count
    assert datasets.storage()
    assert datasets.storage_of(made)
    assert datasets.gc(dry_run=True) is not None
    assert datasets.uploads().all() == []


@scenario(
    "datasets diff",
    "datasets download",
    "datasets gc",
    "datasets log",
    "datasets ls",
    "datasets pull",
    "datasets rows",
    "datasets show",
    "datasets storage",
    "datasets versions",
)
def reading_by_commands(live: LivePlatform) -> None:
    assert live.dataset.name in [found["name"] for found in live.cli_json("datasets", "ls")]
    assert live.cli_json("datasets", "show", "questions")["uuid"] == str(live.dataset.uuid)
    versions = [found["version"] for found in live.cli_json("datasets", "versions", "questions")]
    assert versions == ["v2", "v1"]
    assert "v2" in live.cli("datasets", "log", "questions")
    assert len(live.cli_json("datasets", "rows", "questions", "--limit", "2")) == 2
    assert live.cli("datasets", "diff", "questions@v1", "v2")
    live.cli("datasets", "download", "questions", "--output", saved := live.tmp / "rows.jsonl.2")
    assert saved.read_bytes().count(b"\n") == 25
    live.cli("datasets", "pull", "questions", "--to", pulled := live.tmp / "pulled")
    assert pulled.exists()
    assert live.cli_json("datasets", "storage")
    assert live.cli_json("datasets", "gc", "--dry-run") is not None


@scenario(
    "Dataset.report",
    "Datasets.check",
    "Datasets.gate",
    "Datasets.report",
    "Datasets.report_changes",
    "Datasets.report_page",
    "Datasets.reports",
    "Datasets.set_gate",
    "Datasets.verdict",
    "Task.wait",
    "Tasks.wait",
    "datasets check",
    "datasets gate",
    "datasets report",
)
def reports(live: LivePlatform) -> None:
    datasets, made = live.client.datasets, live.dataset
    task = datasets.check(made, against=[live.held_out])
    assert live.client.tasks.wait(task, 300).status == "completed"
    assert made.report()["rows"] == datasets.report(made)["rows"] == 25
    assert datasets.reports(made).first() is not None
    assert datasets.check(made, "v1").wait(300).status == "completed"
    assert datasets.report_changes(made, "v1")
    assert "<html" in datasets.report_page(made)
    datasets.set_gate({"min_score": 1})
    assert datasets.gate()["min_score"] == 1
    assert datasets.verdict(made)["passed"]
    before = len(datasets.reports(made).all())
    live.cli("datasets", "check", "questions")
    assert len(datasets.reports(made).all()) == before + 1
    assert live.cli_json("datasets", "report", "questions")["rows"] == 25
    live.cli("datasets", "gate", "--clear")
    assert datasets.gate().get("min_score") is None


@scenario(
    "Client.access_token",
    "Datasets.cancel_upload",
    "PartialUpload.cancel",
    "Projects.get",
    "datasets uploads cancel",
    "datasets uploads ls",
)
def unfinished_uploads(live: LivePlatform) -> None:
    datasets = live.client.datasets
    project = live.client.projects.get(PROJECT).uuid

    def begin() -> str:
        """Begin a resumable upload with the tus protocol and leave it unfinished."""
        name = live.name("partial").encode()
        pairs = {"name": name, "filename": b"a.jsonl"}
        metadata = ",".join(f"{k} {base64.b64encode(v).decode()}" for k, v in pairs.items())
        answer = httpx.post(
            f"{live.platform.url}/api/v1/projects/{project}/uploads",
            headers={
                "Authorization": f"Bearer {live.client.access_token()}",
                "Tus-Resumable": "1.0.0",
                "Upload-Length": "100",
                "Upload-Metadata": metadata,
            },
        )
        assert answer.status_code == 201, answer.text
        return answer.headers["location"].rpartition("/")[2]

    begin(), begin(), begin()
    first, second, third = datasets.uploads().all()
    first.cancel()
    datasets.cancel_upload(second)
    listed = [upload["uuid"] for upload in live.cli_json("datasets", "uploads", "ls")]
    assert listed == [str(third.uuid)]
    live.cli("datasets", "uploads", "cancel", third.uuid, "--yes")
    assert datasets.uploads().all() == []


@scenario(
    "Datasets.append",
    "Datasets.tags",
    "Dataset.wait_ready",
    "Datasets.add_version",
    "Dataset.add_version",
    "Dataset.delete",
    "Dataset.update",
    "Datasets.delete_rows",
    "Datasets.delete_version",
    "Datasets.filter",
    "Datasets.fix",
    "Datasets.map",
    "Datasets.patch",
    "Datasets.restore",
    "Datasets.split",
    "Datasets.start_fix",
    "Datasets.tag",
    "Datasets.untag",
    "Datasets.preview_fix",
    "Datasets.update",
    "Datasets.upsert",
)
def changes(live: LivePlatform) -> None:
    datasets = live.client.datasets
    name = live.name("numbers")
    made = datasets.upload(name, table(1, 2, 3, 3, column="remark")).wait_ready(300)
    preview = datasets.preview_fix(made, "duplicates", "deduplicate")
    assert [(item.row, item.after) for item in preview.items] == [(3, None)]
    assert datasets.start_fix(made, {"duplicates": "deduplicate"}).wait(300).status == "completed"
    fixed = datasets.fix(made, {"duplicates": "deduplicate"}, parent="v1", timeout=300)
    assert fixed.row_count == 3

    def numbers(version: DatasetVersion) -> list[int]:
        """Return the numbers in the rows of ``version``, which must be the newest."""
        rows = datasets.rows(name).all()
        assert version.row_count == len(rows)
        return [row["n"] for row in rows]

    # No quality report may start, because it would take longer than the rest of the scenario.
    with live.cordoned():
        assert numbers(made.add_version(table(1, 2, 3, 3, 4, column="remark"))) == [1, 2, 3, 3, 4]
        assert numbers(datasets.append(made, table(5, column="remark"))) == [1, 2, 3, 3, 4, 5]
        six = table(5, 6, column="remark")
        assert numbers(datasets.upsert(made, six, key="n")) == [1, 2, 3, 3, 4, 5, 6]
        assert numbers(datasets.delete_rows(made, six, key="n")) == [1, 2, 3, 3, 4]
        seventh = datasets.patch(made, add=[{"n": 7, "remark": "seven"}], message="Seven.")
        assert numbers(seventh) == [1, 2, 3, 3, 4, 7]
        assert numbers(datasets.filter(made, "n > 1")) == [2, 3, 3, 4, 7]
        parts = datasets.split(made, {"left": 0.5, "right": 0.5})
        assert sum(part.row_count or 0 for part in parts) == 5
        datasets.map(made, {"remark": "text"})
        assert datasets.rows(name).take(1) == [{"n": 2, "text": "row 2"}]
        assert numbers(datasets.restore(made, "v1")) == [1, 2, 3, 3]
        datasets.tag(made, "prod", "v1")
        assert [(tag.name, tag.version) for tag in datasets.tags(made)] == [("prod", "v1")]
        datasets.untag(made, "prod")
        assert datasets.tags(made) == []
        made = datasets.update(made.refresh(), name=f"{name}a")
        made = made.update(name=f"{name}b")
        assert datasets.get(f"{name}b").uuid == made.uuid
        last = datasets.patch(made, add=[{"n": 8, "remark": "eight"}])
        live.cancel_pending()
        datasets.delete_version(made, last.version)
        assert last.version not in [version.version for version in made.versions()]
        made.refresh().delete()
        assert datasets.find(f"{name}b") is None


@scenario(
    "datasets append",
    "datasets columns",
    "datasets filter",
    "datasets fix",
    "datasets map",
    "datasets patch",
    "datasets rename",
    "datasets restore",
    "datasets rm",
    "datasets rm-version",
    "datasets split",
    "datasets tag",
    "datasets upload",
)
def changes_by_commands(live: LivePlatform) -> None:
    name = live.name("numbers")
    rows = live.file("a.jsonl", table(1, 2, 3, 3, column="remark"))
    more = live.file("b.jsonl", table(4, 5, column="remark"))

    def numbers() -> list[int]:
        """Return the numbers in the rows of the newest version."""
        return [row["n"] for row in live.client.datasets.rows(name)]

    live.cli("datasets", "upload", rows, "--name", name)
    assert {"n", "remark"} <= set(live.cli("datasets", "columns", name).split())
    shown = live.cli("datasets", "fix", name, "duplicates=deduplicate", "--preview")
    assert re.search(r'3 +\{"n":3,"remark":"row 3"\} +dropped', shown)
    live.cli("datasets", "fix", name, "duplicates=deduplicate", "--detach")
    assert numbers() == [1, 2, 3]
    # No quality report may start, because it would take longer than the rest of the scenario.
    with live.cordoned():
        live.cli("datasets", "append", name, more, "--detach")
        assert numbers() == [1, 2, 3, 4, 5]
        live.cli("datasets", "patch", name, "--add", '{"n": 8, "remark": "eight"}', "--detach")
        live.cli("datasets", "filter", name, "--where", "n > 1", "--detach")
        assert numbers() == [2, 3, 4, 5, 8]
        parts = live.cli_json(
            "datasets", "split", name, "--part", "a=0.5", "--part", "b=0.5", "--detach"
        )
        assert {part["name"] for part in parts} == {f"{name}-a", f"{name}-b"}
        assert sum(part["row_count"] for part in parts) == 5
        live.cli("datasets", "map", name, "remark=text", "--detach")
        assert live.client.datasets.rows(name).take(1) == [{"n": 2, "text": "row 2"}]
        live.cli("datasets", "restore", f"{name}@v1", "--detach")
        assert numbers() == [1, 2, 3, 3]
        live.cli("datasets", "tag", f"{name}@v1", "prod")
        assert [tag.version for tag in live.client.datasets.tags(name)] == ["v1"]
        live.cli("datasets", "patch", name, "--add", '{"n": 9, "remark": "nine"}', "--detach")
        newest = live.cli_json("datasets", "versions", name)[0]["version"]
        live.cancel_pending()
        live.cli("datasets", "rm-version", f"{name}@{newest}", "--yes")
        assert numbers() == [1, 2, 3, 3]
        live.cli("datasets", "rename", name, f"{name}x")
        assert live.client.datasets.find(name) is None
        live.cli("datasets", "rm", f"{name}x", "--yes")
        assert live.client.datasets.find(f"{name}x") is None


@scenario(
    "Datasets.import_from",
    "Datasets.import_hub",
    "Datasets.import_s3",
    "Datasets.import_url",
    "datasets import",
)
def imports(live: LivePlatform) -> None:
    datasets = live.client.datasets
    file = live.file("rows.jsonl", table(1, 2, 3))
    names = [live.name("fetched") for _ in range(3)]
    with serving(file.parent) as url:
        first = datasets.import_url(f"{url}/rows.jsonl", name=names[0])
        source = {"kind": "url", "url": f"{url}/rows.jsonl"}
        second = datasets.import_from(source, name=names[1])
        queued = live.cli_json(
            "datasets", "import", f"{url}/rows.jsonl", "--name", names[2], "--detach"
        )
        for task in (first, second, live.client.tasks.get(queued["uuid"])):
            assert task.wait(300).status == "completed"
    assert [datasets.get(name).row_count for name in names] == [3, 3, 3]
    # There is no hub or bucket here, so this tests only that the server accepts the request.
    with live.cordoned():
        for task in (
            datasets.import_s3("s3://bucket/rows.jsonl", name=live.name("fetched")),
            datasets.import_hub("somebody/rows", name=live.name("fetched")),
        ):
            assert task.cancel().status == "cancelled"

"""Datasets: uploads, changes, reading, reports, gates, imports."""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from tests.surface.stage import PROJECT, Stage, scene

WHERE = [{"column": "n", "op": ">", "value": 1}]


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """Serve the files of a directory; give their address."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(directory))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def table(*numbers: int, column: str = "text") -> bytes:
    """Return rows of a number and a text."""
    return b"".join(json.dumps({"n": n, column: f"row {n}"}).encode() + b"\n" for n in numbers)


@scene(
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
    "Dataset.wait_ready",
    "DatasetVersion.iter_batches",
    "DatasetVersion.pull",
    "DatasetVersion.to_arrow",
    "DatasetVersion.to_hf",
    "DatasetVersion.to_pandas",
    "DatasetVersion.to_polars",
    "Datasets.add_version",
    "Datasets.append",
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
    "Datasets.tags",
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
def reading(stage: Stage) -> None:
    datasets, made = stage.client.datasets, stage.dataset
    datasets.list().first()
    datasets.get("questions").refresh()
    datasets.find("questions")
    datasets.resolve("questions")
    datasets.path("questions")
    datasets.reference("questions@v1")
    datasets.wait_ready("questions")
    assert datasets.rows(made).take(2)
    assert made.rows().first() is not None
    assert datasets.sample(made, 2)
    diff = datasets.diff(made, "v1", "v2")
    assert diff.summary
    assert diff.entries.first() is not None
    assert datasets.versions(made).all()
    version = datasets.version(made, "v1")
    made.versions().first()
    made.download(stage.tmp)
    datasets.download(made, stage.tmp / "rows.parquet", format="parquet")
    datasets.pull(made)
    for source in (made, version):
        source.pull()
        source.to_arrow()
        source.to_pandas()
        source.to_polars()
        source.to_hf()
        next(iter(source.iter_batches()))
    datasets.storage()
    datasets.storage_of(made)
    datasets.gc(dry_run=True)
    datasets.uploads().all()
    stage.cli("datasets", "ls")
    stage.cli("datasets", "show", "questions")
    stage.cli("datasets", "versions", "questions")
    stage.cli("datasets", "log", "questions")
    stage.cli("datasets", "rows", "questions", "--limit", "2")
    stage.cli("datasets", "diff", "questions@v1", "v2")
    stage.cli("datasets", "download", "questions", "--output", stage.tmp / "rows.jsonl.2")
    stage.cli("datasets", "pull", "questions", "--to", stage.tmp / "pulled")
    stage.cli("datasets", "storage")
    stage.cli("datasets", "gc", "--dry-run")


@scene(
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
def reports(stage: Stage) -> None:
    datasets, made = stage.client.datasets, stage.dataset
    datasets.check(made, against=[stage.held_out]).wait(300)
    assert made.report()["rows"] > 0
    datasets.report(made)
    assert datasets.reports(made).first() is not None
    datasets.check(made, "v1").wait(300)
    datasets.report_changes(made, "v1")
    assert "<html" in datasets.report_page(made)
    datasets.set_gate({"min_score": 1})
    datasets.gate()
    datasets.verdict(made)
    stage.cli("datasets", "check", "questions")
    stage.cli("datasets", "report", "questions")
    stage.cli("datasets", "gate", "--clear")


@scene(
    "Client.access_token",
    "Datasets.cancel_upload",
    "PartialUpload.cancel",
    "Projects.get",
    "datasets uploads cancel",
    "datasets uploads ls",
)
def unfinished_uploads(stage: Stage) -> None:
    datasets = stage.client.datasets
    project = stage.client.projects.get(PROJECT).uuid

    def begin() -> str:
        """Begin a resumable upload as the protocol has it, and leave it there."""
        name = stage.name("partial").encode()
        pairs = {"name": name, "filename": b"a.jsonl"}
        metadata = ",".join(f"{k} {base64.b64encode(v).decode()}" for k, v in pairs.items())
        answer = httpx.post(
            f"{stage.platform.url}/api/v1/projects/{project}/uploads",
            headers={
                "Authorization": f"Bearer {stage.client.access_token()}",
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
    stage.cli("datasets", "uploads", "ls")
    stage.cli("datasets", "uploads", "cancel", third.uuid, "--yes")


@scene(
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
    "Datasets.update",
    "Datasets.upsert",
)
def changes(stage: Stage) -> None:
    datasets = stage.client.datasets
    name = stage.name("numbers")
    made = datasets.upload(name, table(1, 2, 3, 3, column="remark")).wait_ready(300)
    datasets.start_fix(made, {"duplicates": "deduplicate"}).wait(300)
    made.add_version(table(1, 2, 3, 3, 4, column="remark"))
    datasets.upsert(made, table(6, column="remark"), key="n")
    datasets.delete_rows(made, table(6, column="remark"), key="n")
    datasets.patch(made, add=[{"n": 7, "remark": "seven"}], message="Seven.")
    datasets.filter(made, "n > 1")
    assert len(datasets.split(made, {"left": 0.5, "right": 0.5})) == 2
    assert datasets.map(made, {"remark": "text"}).version
    datasets.restore(made, "v1")
    datasets.fix(made, {"duplicates": "deduplicate"}, parent="v1", timeout=300)
    datasets.tag(made, "prod", "v1")
    assert [tag.name for tag in datasets.tags(made)] == ["prod"]
    datasets.untag(made, "prod")
    made = datasets.update(made.refresh(), name=f"{name}a")
    made = made.update(name=f"{name}b")
    last = datasets.patch(made, add=[{"n": 8, "remark": "eight"}])
    made.refresh().wait_ready(300)
    datasets.delete_version(made, last.version)
    assert last.version not in [version.version for version in made.versions()]
    made.refresh().delete()
    assert datasets.find(f"{name}b") is None


@scene(
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
def changes_by_commands(stage: Stage) -> None:
    name = stage.name("numbers")
    stage.cli("datasets", "upload", stage.file("a.jsonl", table(1, 2, 3, 3, column="remark")),
              "--name", name)  # fmt: skip
    stage.cli("datasets", "columns", name)
    stage.cli("datasets", "fix", name, "duplicates=deduplicate", "--detach")
    stage.cli(
        "datasets", "append", name, stage.file("b.jsonl", table(4, 5, column="remark")), "--detach"
    )
    stage.cli("datasets", "patch", name, "--add", '{"n": 8, "remark": "eight"}', "--detach")
    stage.cli("datasets", "filter", name, "--where", "n > 1", "--detach")
    stage.cli("datasets", "split", name, "--part", "a=0.5", "--part", "b=0.5", "--detach")
    stage.cli("datasets", "map", name, "remark=text", "--detach")
    stage.cli("datasets", "restore", f"{name}@v1", "--detach")
    stage.cli("datasets", "tag", f"{name}@v1", "prod")
    stage.cli("datasets", "patch", name, "--add", '{"n": 9, "remark": "nine"}')
    newest = stage.told("datasets", "versions", name)[0]["version"]
    stage.cli("datasets", "rm-version", f"{name}@{newest}", "--yes")
    stage.cli("datasets", "rename", name, f"{name}x")
    stage.cli("datasets", "rm", f"{name}x", "--yes")


@scene(
    "Datasets.import_from",
    "Datasets.import_hub",
    "Datasets.import_s3",
    "Datasets.import_url",
    "datasets import",
)
def imports(stage: Stage) -> None:
    datasets = stage.client.datasets
    file = stage.file("rows.jsonl", table(1, 2, 3))
    with serving(file.parent) as url:
        first = datasets.import_url(f"{url}/rows.jsonl", name=stage.name("fetched"))
        source = {"kind": "url", "url": f"{url}/rows.jsonl"}
        second = datasets.import_from(source, name=stage.name("fetched"))
        queued = stage.told(
            "datasets", "import", f"{url}/rows.jsonl", "--name", stage.name("fetched"), "--detach"
        )
        for task in (first, second, stage.client.tasks.get(queued["uuid"])):
            task.wait(300)
    # There is no hub and no bucket here: only whether the server takes the order is asked.
    with stage.cordoned():
        datasets.import_s3("s3://bucket/rows.jsonl", name=stage.name("fetched")).cancel()
        datasets.import_hub("somebody/rows", name=stage.name("fetched")).cancel()

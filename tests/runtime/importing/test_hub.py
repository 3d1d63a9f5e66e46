"""Tests of downloads from hubs, with a small local server that responds like the real ones."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from aiplatform.protocol.model_sources import HubSource
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.importing import hub
from aiplatform.runtime.importing.hub import RemoteFile, choose, download
from tests.runtime.conftest import RecordedReporter, make_job
from tests.runtime.harness import SOURCE, Runner

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/tiny-model"


class FakeHub(ThreadingHTTPServer):
    """A server that offers the files of one repository through the APIs of both hubs."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked: list[str] = []
        self.damage = ""
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path, query = unquote(address.path), parse_qs(address.query)
        self.server.asked.append(path)
        if self.server.status != 200:
            self.answer(b'{"error":"not now"}', status=self.server.status)
        elif path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            self.answer(json.dumps(self.huggingface_tree()).encode())
        elif path.startswith(f"/api/models/{REPOSITORY}"):
            self.answer(json.dumps(self.huggingface_info()).encode())
        elif path == f"/api/v1/models/{REPOSITORY}/repo/files":
            assert query["Recursive"] == ["true"]
            self.answer(json.dumps(self.modelscope_listing()).encode())
        elif path.startswith((f"/{REPOSITORY}/resolve/", f"/models/{REPOSITORY}/resolve/")):
            name = path.partition("/resolve/")[2].partition("/")[2]
            content = self.server.files[name]
            if name == self.server.damage:
                content = bytes(len(content))
            self.answer(content, etag=hashlib.sha1(content).hexdigest())
        else:
            headers = {"X-Error-Code": "RepoNotFound"}
            self.answer(b'{"error":"Repository not found"}', status=404, **headers)

    def answer(self, body: bytes, status: int = 200, etag: str = "e", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def huggingface_info(self) -> dict[str, Any]:
        siblings = []
        for name, content in self.server.files.items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": "b"}
            if name.endswith((".safetensors", ".bin", ".gguf")):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 1}
            siblings.append(entry)
        return {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings, "tags": []}

    def huggingface_tree(self) -> list[dict[str, Any]]:
        tree = []
        for entry in self.huggingface_info()["siblings"]:
            file = {"type": "file", "path": entry["rfilename"], "size": entry["size"], "oid": "b"}
            if "lfs" in entry:
                lfs = entry["lfs"]
                file["lfs"] = {"oid": lfs["sha256"], "size": lfs["size"], "pointerSize": 1}
            tree.append(file)
        return tree

    def modelscope_listing(self) -> dict[str, Any]:
        files = [
            {
                "Path": name,
                "Name": Path(name).name,
                "Type": "blob",
                "Size": len(content),
                "Sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in self.server.files.items()
        ]
        files.append({"Path": "onnx", "Name": "onnx", "Type": "tree", "Size": 0, "Sha256": ""})
        return {"Code": 200, "Data": {"Files": files}, "Message": "success", "Success": True}


@pytest.fixture
def fake(tiny_model: Path) -> Iterator[FakeHub]:
    files = {path.name: path.read_bytes() for path in (tiny_model / "weights").iterdir()}
    files |= {
        "README.md": b"---\nlicense: mit\n---\n",
        "pytorch_model.bin": b"pickle",
        "modeling_evil.py": b"raise SystemExit",
        "onnx/model.onnx": b"large",
        "original/model.safetensors": b"x",
    }
    server = FakeHub(files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def import_spec() -> dict[str, Any]:
    return {"type": "model_import", "source": {"kind": "hub", "repository": REPOSITORY}}


def environment(fake: FakeHub, kind: str, home: Path) -> dict[str, str]:
    named = {"HF_HOME": str(home), "AIPLATFORM_HUB": kind, "NO_PROXY": "127.0.0.1"}
    return {**named, "HF_ENDPOINT": fake.url}


@pytest.mark.parametrize("kind", ["huggingface", "modelscope"])
def test_import_from_a_hub_downloads_only_the_model(
    kind: str, fake: FakeHub, tmp_path: Path
) -> None:
    """Run the import in a child process, which decides whether it may use the network."""
    job = make_job(tmp_path, import_spec(), {})
    with Runner.of_job(job, tmp_path, **environment(fake, kind, tmp_path)) as runner:
        assert runner.finish(timeout=120) == 0, runner.log
    result = runner.outcome["data"]
    assert result["architecture"] == "LlamaForCausalLM"
    assert result["license"] == "mit"
    revision = COMMIT if kind == "huggingface" else "master"
    assert result["source"] == {
        "kind": "hub",
        "hub": fake.url,
        "repository": REPOSITORY,
        "revision": revision,
    }
    weights = Path(job.output_dir) / "weights"
    assert (weights / "model.safetensors").read_bytes() == fake.files["model.safetensors"]
    fetched = {Path(path).name for path in fake.asked if "/resolve/" in path}
    assert fetched.isdisjoint({"pytorch_model.bin", "modeling_evil.py", "model.onnx"})
    assert not any("original" in path for path in fake.asked)
    assert not (Path(job.output_dir) / ".incoming").exists()


@pytest.fixture
def modelscope(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("AIPLATFORM_HUB", "modelscope")
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", fake.url)
    return fake


def fetch(tmp_path: Path, recorded: RecordedReporter, **source: str) -> Any:
    return download(
        HubSource(repository=source.pop("repository", REPOSITORY), **source),
        tmp_path / "incoming",
        recorded.report,
    )


def test_download_of_a_file_with_another_hash_is_refused(
    modelscope: FakeHub, tmp_path: Path, recorded: RecordedReporter
) -> None:
    modelscope.damage = "model.safetensors"
    with pytest.raises(JobError, match="not the file that the hub lists") as caught:
        fetch(tmp_path, recorded)
    assert caught.value.retryable


def test_download_of_a_missing_model_is_refused(
    modelscope: FakeHub, tmp_path: Path, recorded: RecordedReporter
) -> None:
    with pytest.raises(JobError, match=r"There is no model someone/else .* or it is private"):
        fetch(tmp_path, recorded, repository="someone/else")


def test_download_from_a_failing_hub_is_retryable(
    modelscope: FakeHub, tmp_path: Path, recorded: RecordedReporter
) -> None:
    modelscope.status = 502
    with pytest.raises(JobError, match="can't be reached or answers with an error") as caught:
        fetch(tmp_path, recorded)
    assert caught.value.retryable


def test_download_from_an_unreachable_hub_is_retryable(
    tmp_path: Path, recorded: RecordedReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("AIPLATFORM_HUB", "modelscope")
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(JobError, match="Name a mirror with AIPLATFORM_HUB_ENDPOINT") as caught:
        fetch(tmp_path, recorded)
    assert caught.value.retryable


HUGGINGFACE = """
import os, sys
from pathlib import Path
from aiplatform.protocol.model_sources import HubSource
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.importing.hub import download
source = HubSource(repository=sys.argv[1])
try:
    download(source, Path(sys.argv[2]), Reporter(os.open(os.devnull, os.O_WRONLY)))
except JobError as error:
    print(error.retryable, error)
"""


@pytest.mark.parametrize(
    ("repository", "status", "words"),
    [
        ("someone/else", 200, "False There is no model someone/else on"),
        ("someone/else-", 200, "False someone/else- can't be the name of a repository"),
        (REPOSITORY, 500, "True The hub "),
        (REPOSITORY, 0, "True The hub http://127.0.0.1:9 can't be reached"),
    ],
)
def test_download_from_hugging_face_explains_errors(
    repository: str, status: int, words: str, fake: FakeHub, tmp_path: Path
) -> None:
    """Use a new process, because the hub's client library reads its settings on import."""
    fake.status = status
    process = subprocess.run(
        [sys.executable, "-c", HUGGINGFACE, repository, str(tmp_path / "incoming")],
        env={
            **environment(fake, "huggingface", tmp_path),
            "PYTHONPATH": str(SOURCE),
            "PATH": os.environ["PATH"],
            **({} if status else {"HF_ENDPOINT": "http://127.0.0.1:9"}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.startswith(words), process.stdout + process.stderr


@pytest.mark.parametrize(
    ("errno", "retryable"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)]
)
def test_unknown_host_name_is_not_retryable(errno: int, retryable: bool) -> None:
    error = ConnectionError("no connection")
    error.__cause__ = socket.gaierror(errno, "Name or service not known")
    assert hub.unreachable("https://hub", error).retryable is retryable


def test_download_on_an_offline_worker_is_refused(
    tmp_path: Path, recorded: RecordedReporter
) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(JobError, match="set to work without a hub"):
        fetch(tmp_path, recorded)


def test_download_from_an_unknown_hub_names_the_setting(
    tmp_path: Path, recorded: RecordedReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("AIPLATFORM_HUB", "torrent")
    with pytest.raises(JobError, match="AIPLATFORM_HUB is 'torrent'"):
        fetch(tmp_path, recorded)


def files(*names: str) -> list[RemoteFile]:
    return [RemoteFile(name, 1) for name in names]


def test_choose_prefers_the_gguf_with_the_best_quality() -> None:
    listed = files("m-Q4_0.gguf", "m-Q8_0.gguf", "m-IQ1_S.gguf", "README.md", "mmproj.txt")
    assert [file.path for file in choose(listed, "r")] == ["m-Q8_0.gguf", "README.md"]


def test_choose_prefers_safetensors_to_gguf() -> None:
    listed = files("m.gguf", "config.json", "model.safetensors", "LICENSE", "x.py")
    assert {file.path for file in choose(listed, "r")} == {
        *("config.json", "model.safetensors", "LICENSE")
    }


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["pytorch_model.bin", "config.json"], "pickles only"),
        (["sub/model.safetensors"], "neither safetensors nor GGUF files at its top level"),
        ([], "neither safetensors nor GGUF"),
    ],
)
def test_choose_refuses_repositories_without_a_usable_model(names: list[str], words: str) -> None:
    with pytest.raises(JobError, match=words):
        choose(files(*names), "r")


def test_check_space_refuses_a_model_larger_than_the_disk(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"needs 2000000.0 GB while it is imported"):
        hub.check_space([RemoteFile("m.safetensors", 10**15)], tmp_path)


def test_reported_growth_reports_the_downloaded_share(
    tmp_path: Path, recorded: RecordedReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Often(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return super().wait(0.01)

    monkeypatch.setattr(hub.threading, "Event", Often)
    with hub.reported_growth(tmp_path / "in", [RemoteFile("m", 100)], recorded.report):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "m").write_bytes(bytes(50))
        while not any(m["value"] == 0.3 for m in recorded.of_type("progress")):
            pass
    assert isinstance(recorded.report, Reporter)

"""Tests of dataset sources: which files are taken from a hub, and the URLs of S3 objects."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import TypeAdapter, ValidationError

from aiplatform.protocol.dataset_sources import DataHubSource, DataSource, S3Source
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.fetching.downloader import Downloader
from aiplatform.runtime.fetching.hubs import Hub, is_data
from aiplatform.runtime.fetching.s3 import locate
from tests.fake_remote_server import FakeRemoteServer, fake_remote_server

CARD = b"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: [data/held.jsonl]
- config_name: other
  data_files: other/*.csv
---
# Card
"""
CARDED = {
    "README.md": CARD,
    "data/train-a.csv": b"1",
    "data/held.jsonl": b"2",
    "other/x.csv": b"3",
}


@pytest.fixture
def remote_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRemoteServer]:
    with fake_remote_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def located(
    hub: str, remote_server: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch, **source: Any
) -> Any:
    monkeypatch.setenv("AIPLATFORM_HUB", hub)
    found = Hub()
    downloader = Downloader(Reporter(-1), frozenset({found.origin}))
    remotes, origin = found.locate(DataHubSource(repository="a/b", **source), downloader)
    assert origin["hub"] == remote_server.url
    contents = [downloader.text(remote.url, remote.headers) for remote in remotes]
    downloader.close()
    return [remote.name for remote in remotes], origin, contents


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
@pytest.mark.parametrize(
    ("files", "source", "names"),
    [
        ({"a.jsonl": b"x"}, {}, ["a.jsonl"]),
        ({"a.jsonl": b"x", "b.csv": b"y"}, {"file": "b.csv"}, ["b.csv"]),
        (
            {"data/train-00001.parquet": b"2", "data/train-00000.parquet": b"1", "t/test.csv": b""},
            {"split": "train"},
            ["train-00000.parquet", "train-00001.parquet"],
        ),
        ({"train.jsonl.gz": b"x", "README.md": b"# words"}, {}, ["train.jsonl.gz"]),
        ({"en/train.csv": b"e", "zh/train.csv": b"z"}, {"subset": "zh"}, ["train.csv"]),
        (
            CARDED,
            {"split": "test"},
            ["held.jsonl"],
        ),
        (
            CARDED,
            {"subset": "other"},
            ["x.csv"],
        ),
    ],
)  # fmt: skip
def test_locate_returns_the_files_of_the_wanted_split_or_subset(
    remote_server: FakeRemoteServer,
    monkeypatch: pytest.MonkeyPatch,
    hub: str,
    files: dict[str, bytes],
    source: dict[str, str],
    names: list[str],
) -> None:
    remote_server.repositories["a/b"] = files
    found, origin, contents = located(hub, remote_server, monkeypatch, **source)
    assert found == names
    assert origin["revision"] == ("0" * 40 if hub == "huggingface" else "master")
    wanted = [files[path].decode() for path in sorted(files) if path.rpartition("/")[2] in names]
    if source.get("subset") != "zh":
        assert contents == wanted
    else:
        assert contents == ["z"]


@pytest.mark.parametrize(
    ("files", "source", "said"),
    [
        ({"a.jsonl": b"", "b.jsonl": b""}, {}, "Say which"),
        ({"train.csv": b"", "test.csv": b""}, {}, "test, train"),
        ({"train.csv": b""}, {"split": "test"}, "it has train"),
        ({"a.csv": b""}, {"file": "b.csv"}, "no file b.csv"),
        ({"a.py": b"", "README.md": b""}, {}, "made by a script"),
        ({"model.pkl": b"", "LICENSE": b""}, {}, "no files of rows"),
        ({"en/a.csv": b""}, {"subset": "zh"}, "no subset"),
        ({"README.md": CARD, "other/x.csv": b""}, {"subset": "third"}, "default, other"),
        ({}, {}, "no files of rows"),
    ],
)
def test_locate_raises_if_files_are_missing_or_ambiguous(
    remote_server: FakeRemoteServer,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, bytes],
    source: dict[str, str],
    said: str,
) -> None:
    remote_server.repositories["a/b"] = files
    with pytest.raises(JobError, match=said):
        located("huggingface", remote_server, monkeypatch, **source)


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_locate_of_a_missing_dataset_raises_job_error(
    remote_server: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch, hub: str
) -> None:
    with pytest.raises(JobError):
        located(hub, remote_server, monkeypatch)


def test_locate_reads_all_pages_of_modelscope(
    remote_server: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"train/{n:04d}.jsonl": str(n).encode() for n in range(450)}
    remote_server.repositories["a/b"] = files
    names, _, _ = located("modelscope", remote_server, monkeypatch, split="train")
    assert names == [f"{n:04d}.jsonl" for n in range(450)]


@pytest.mark.parametrize(
    ("hub", "variable"), [("huggingface", "HF_TOKEN"), ("modelscope", "MODELSCOPE_API_TOKEN")]
)
def test_locate_sends_the_token_of_the_hub(
    remote_server: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch, hub: str, variable: str
) -> None:
    remote_server.repositories["a/b"] = {"train.csv": b"x"}
    remote_server.token = "hub-secret"
    with pytest.raises(JobError, match="token"):
        located(hub, remote_server, monkeypatch)
    monkeypatch.setenv(variable, "hub-secret")
    assert located(hub, remote_server, monkeypatch)[0] == ["train.csv"]


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("a.jsonl", True), ("a/b.parquet", True), ("x.csv.gz", True), ("x.json.zst", True),
        ("README.md", False), ("a.py", False), ("a.pkl", False), ("notes.txt", False),
    ],
)  # fmt: skip
def test_is_data_recognizes_data_files_by_suffix(path: str, good: bool) -> None:
    assert is_data(path) is good


class TestS3:
    def test_locate_without_credentials_returns_the_plain_url(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remote = locate(S3Source(uri="s3://my.bucket/a folder/rows#1.csv", region="eu-west-1"))
        assert remote.name == "rows#1.csv"
        assert remote.url == (
            "https://s3.eu-west-1.amazonaws.com/my.bucket/a%20folder/rows%231.csv"
        )

    def test_locate_with_credentials_returns_a_signed_url(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-away")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
        source = S3Source(uri="s3://bucket/rows.csv", endpoint="http://127.0.0.1:9000")
        remote = locate(source)
        parts = urlsplit(remote.url)
        query = parse_qs(parts.query)
        assert (parts.netloc, parts.path) == ("127.0.0.1:9000", "/bucket/rows.csv")
        assert query["X-Amz-Credential"][0].startswith("AKIAEXAMPLE/")
        assert query["X-Amz-Security-Token"] == ["session"]
        assert len(query["X-Amz-Signature"][0]) == 64
        assert "hidden-away" not in remote.url

    def test_locate_with_one_of_two_credentials_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        with pytest.raises(JobError, match="both"):
            locate(S3Source(uri="s3://bucket/rows.csv"))


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "url", "url": "file:///etc/passwd"},
        {"kind": "url", "url": "gopher://x/"},
        {"kind": "s3", "uri": "s3://bucket"},
        {"kind": "s3", "uri": "s3:///key"},
        {"kind": "s3", "uri": "s3://bucket/key", "endpoint": "file:///x"},
        {"kind": "hub", "repository": "../../x"},
        {"kind": "hub", "repository": "a/b", "file": "../x"},
        {"kind": "hub", "repository": "a/b", "revision": "a/../../b"},
        {"kind": "other"},
    ],
)
def test_invalid_sources_are_refused(source: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(DataSource).validate_python(source)

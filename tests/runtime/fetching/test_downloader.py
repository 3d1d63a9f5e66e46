"""Tests of downloads: interruptions, ranges, limits, redirects and forbidden addresses."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.fetching import downloader as downloader_module
from aiplatform.runtime.fetching.downloader import Downloader, FetchedFile, RemoteFile
from tests.fake_remote_server import FakeRemoteServer, fake_remote_server, sha

CONTENT = random.Random(3).randbytes(3 << 20)


@pytest.fixture
def remote_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRemoteServer]:
    monkeypatch.setenv("AIPLATFORM_OUTGOING_NETWORKS", "127.0.0.0/8")
    monkeypatch.setattr(downloader_module, "FIRST_WAIT_SECONDS", 0.01)
    with fake_remote_server() as server:
        server.files["/rows.jsonl"] = CONTENT
        yield server


@pytest.fixture
def report() -> Iterator[Reporter]:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    yield Reporter(nowhere)
    os.close(nowhere)


@pytest.fixture
def fetch(remote_server: FakeRemoteServer, report: Reporter, tmp_path: Path) -> Any:
    def fetch(path: str = "/rows.jsonl", *, sha256: str | None = None, **more: Any) -> FetchedFile:
        fetcher = Downloader(report)
        remote = RemoteFile(f"{remote_server.url}{path}", "", sha256=sha256, **more)
        try:
            return fetcher.fetch(remote, tmp_path / "file", before=0, total=None)
        finally:
            fetcher.close()

    return fetch


def test_fetch_returns_file_name_size_and_hash(fetch: Any) -> None:
    fetched = fetch()
    assert fetched.path.read_bytes() == CONTENT
    assert (fetched.name, fetched.size, fetched.sha256) == ("rows.jsonl", 3 << 20, sha(CONTENT))


def test_fetch_takes_the_name_from_content_disposition(
    fetch: Any, remote_server: FakeRemoteServer
) -> None:
    remote_server.headers["Content-Disposition"] = 'attachment; filename="chats.csv"'
    assert fetch().name == "chats.csv"


def test_fetch_continues_after_interruptions(fetch: Any, remote_server: FakeRemoteServer) -> None:
    remote_server.cuts = [1 << 20, 100, 0, 1 << 20]
    assert fetch().path.read_bytes() == CONTENT
    assert remote_server.range_starts() == [
        0,
        1 << 20,
        (1 << 20) + 100,
        (1 << 20) + 100,
        (2 << 20) + 100,
    ]


def test_fetch_starts_again_if_the_server_has_no_ranges(
    fetch: Any, remote_server: FakeRemoteServer
) -> None:
    remote_server.ranges = False
    remote_server.cuts = [1 << 20, 2 << 20]
    assert fetch().path.read_bytes() == CONTENT


def test_fetch_starts_again_if_the_file_has_changed(
    fetch: Any, remote_server: FakeRemoteServer
) -> None:
    other = CONTENT[::-1]
    remote_server.cuts = [1 << 20]
    real = remote_server.files

    class Changing(dict[str, bytes]):
        def __getitem__(self, key: str) -> bytes:
            return other if len(remote_server.requests) > 1 else real[key]

    remote_server.files = Changing(real)
    assert fetch().path.read_bytes() == other


def test_fetch_starts_again_without_validator_and_hash(
    fetch: Any, remote_server: FakeRemoteServer
) -> None:
    remote_server.validators = False
    remote_server.cuts = [1 << 20]
    assert fetch().path.read_bytes() == CONTENT
    assert remote_server.range_starts() == [0, 0]


def test_fetch_with_a_hash_continues_without_validator(
    fetch: Any, remote_server: FakeRemoteServer
) -> None:
    remote_server.validators = False
    remote_server.cuts = [1 << 20]
    assert fetch(sha256=sha(CONTENT)).size == len(CONTENT)
    with pytest.raises(FileExistsError):
        fetch(sha256=sha(CONTENT))


@pytest.mark.parametrize("codes", [[503], [429, 500, 502, 504]])
def test_fetch_repeats_transient_errors(
    fetch: Any, remote_server: FakeRemoteServer, codes: list[int]
) -> None:
    remote_server.statuses = codes
    assert fetch().size == len(CONTENT)


def test_fetch_gives_up_after_repeated_errors(fetch: Any, remote_server: FakeRemoteServer) -> None:
    remote_server.statuses = [503] * 20
    with pytest.raises(JobError, match="503") as caught:
        fetch()
    assert caught.value.retryable
    assert len(remote_server.requests) == downloader_module.MAX_ATTEMPTS


@pytest.mark.parametrize(
    ("code", "said"), [(401, "token"), (403, "denied"), (404, "nothing"), (410, "410")]
)
def test_fetch_does_not_repeat_refusals(
    fetch: Any, remote_server: FakeRemoteServer, code: int, said: str
) -> None:
    remote_server.statuses = [code]
    with pytest.raises(JobError, match=said) as caught:
        fetch()
    assert not caught.value.retryable
    assert len(remote_server.requests) == 1


def test_fetch_from_a_wrong_region_names_the_right_one(
    fetch: Any, remote_server: FakeRemoteServer
) -> None:
    remote_server.statuses, remote_server.headers = [400], {"x-amz-bucket-region": "eu-west-1"}
    with pytest.raises(JobError, match="eu-west-1"):
        fetch()


@pytest.mark.parametrize("lengths", [True, False])
def test_fetch_of_a_too_large_file_is_refused(
    fetch: Any, remote_server: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch, lengths: bool
) -> None:
    monkeypatch.setenv("AIPLATFORM_MAX_UPLOAD_BYTES", "1000000")
    remote_server.lengths = lengths
    with pytest.raises(JobError, match="limit"):
        fetch()


def test_fetch_of_more_than_the_disk_has_is_refused(
    fetch: Any, remote_server: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloader_module, "RESERVED_DISK_BYTES", 1 << 60)
    with pytest.raises(JobError, match="disk"):
        fetch()


def test_fetch_with_another_hash_is_refused(fetch: Any) -> None:
    with pytest.raises(JobError, match="not the file") as caught:
        fetch(sha256="0" * 64)
    assert caught.value.retryable


class TestAddresses:
    def test_redirect_to_another_host_is_followed_without_the_token(
        self, fetch: Any, remote_server: FakeRemoteServer
    ) -> None:
        with fake_remote_server() as other:
            other.files["/there"] = CONTENT
            remote_server.redirects["/here"] = f"{other.url}/there"
            fetched = fetch("/here", headers={"Authorization": "Bearer secret"})
            assert fetched.size == len(CONTENT)
            assert remote_server.requests[0][1]["authorization"] == "Bearer secret"
            assert "authorization" not in other.requests[0][1]

    def test_endless_redirect_is_refused(self, fetch: Any, remote_server: FakeRemoteServer) -> None:
        remote_server.redirects["/a"] = "/a"
        with pytest.raises(JobError, match="redirects"):
            fetch("/a")

    @pytest.mark.parametrize(
        "target",
        [
            "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[::1]/",
            "http://0x7f000001/", "http://user:password@example.com/", "file:///etc/passwd",
            "ftp://example.com/", "http://127.1/",
        ],
    )  # fmt: skip
    def test_redirect_to_a_forbidden_address_is_refused(
        self, fetch: Any, remote_server: FakeRemoteServer, target: str
    ) -> None:
        remote_server.redirects["/here"] = target
        with pytest.raises(JobError):
            fetch("/here")
        assert len(remote_server.requests) == 1

    def test_private_address_is_refused(
        self, fetch: Any, remote_server: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIPLATFORM_OUTGOING_NETWORKS", "")
        with pytest.raises(JobError, match="not a public address") as caught:
            fetch()
        assert not caught.value.retryable
        assert remote_server.requests == []

    def test_host_name_that_changes_to_a_private_address_is_refused(
        self, fetch: Any, remote_server: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Check that each connection resolves the name and checks the address."""
        from ipaddress import ip_address

        from aiplatform.data import outgoing_http

        answers = ["127.0.0.1", "10.0.0.1"]
        monkeypatch.setattr(outgoing_http, "resolve", lambda *_: [ip_address(answers.pop(0))])
        remote_server.cuts = [100]
        with pytest.raises(JobError, match="not a public address"):
            fetch()
        assert answers == []
        assert len(remote_server.requests) == 1

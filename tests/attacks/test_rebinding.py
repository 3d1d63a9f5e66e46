"""Attack: DNS rebinding. A host name is public when checked but private when called."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import pytest

from aiplatform.data import outgoing_http
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.fetching import downloader as downloader_module
from aiplatform.runtime.fetching.downloader import Downloader, RemoteFile
from aiplatform.server.core.outgoing import client, require_open_url
from aiplatform.server.identity.errors import SsoUnavailable
from aiplatform.server.identity.service.provider import _get
from tests.conftest import environment
from tests.server.core.test_outgoing import names

__all__ = ["names"]  # fixture

Names = dict[str, list[list[str]]]

PRIVATE = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200",
    "0.0.0.0", "::1", "fd00::1", "fe80::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "2002:7f00:1::", "::",
]  # fmt: skip


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow no internal network, and shorten the wait before a repeated download."""
    monkeypatch.setattr(downloader_module, "FIRST_WAIT_SECONDS", 0.001)
    with environment(AIPLATFORM_OUTGOING_NETWORKS=""):
        yield


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make all connections fail, and return the list of the addresses that were tried."""
    tried: list[str] = []

    def connect(self: Any, host: str, *_: Any, **__: Any) -> Any:
        tried.append(host)
        raise httpcore.ConnectError("nobody is there")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    return tried


def import_file(url: str, tmp_path: Path) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    fetcher = Downloader(Reporter(nowhere))
    target = tmp_path / "file"
    target.unlink(missing_ok=True)
    try:
        fetcher.fetch(RemoteFile(url, ""), target, before=0, total=None)
    finally:
        fetcher.close()
        os.close(nowhere)


@pytest.mark.parametrize("address", PRIVATE)
def test_webhook_sso_and_import_refuse_name_that_became_private(
    names: Names, connected: list[str], tmp_path: Path, address: str
) -> None:
    """Make the host name private after it was checked and before it is called."""
    url = "http://rebind.test/x"
    require_open_url(url)
    names["rebind.test"] = [[address]]
    with client() as http, pytest.raises(outgoing_http.OutgoingRefused):
        http.post(url, json={})
    with pytest.raises(SsoUnavailable):
        _get(url)
    with pytest.raises(JobError, match="not a public address"):
        import_file(url, tmp_path)
    assert connected == []

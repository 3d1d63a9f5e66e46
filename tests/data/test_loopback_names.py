"""Tests of this machine's names and their spellings, which users must not be able to call."""

import pytest

from aiplatform.data.addresses import LOOPBACK
from aiplatform.data.outgoing_http import OutgoingRefused, require_open_url

SPELLINGS = [
    "localhost", "LOCALHOST", "LOCALHOST.", "localhost.", "LocalHost", "a.localhost",
    "a.b.LOCALHOST.",
    "localhost.localdomain", "ip6-localhost", "ip6-loopback", "127.1", "127.0.1", "0",
    "0.0.0.0", "[::]",
    "[::1]", "2130706433", "017700000001", "0177.0.0.1", "0x7f000001", "0x7f.1", "0X7F.0.0.1",
    "127.0.0.1.",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "127.255.255.254",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_require_open_url_refuses_this_machine_without_lookup(scheme: str, host: str) -> None:
    with pytest.raises(OutgoingRefused):
        require_open_url(f"{scheme}://{host}:8080/hook")


@pytest.mark.parametrize("host", ["localhost.example.com", "notlocalhost", "mylocalhost.org"])
def test_require_open_url_accepts_names_similar_to_localhost(host: str) -> None:
    require_open_url(f"https://{host}/hook")


def test_require_open_url_accepts_localhost_in_an_allowed_network() -> None:
    from ipaddress import ip_network

    require_open_url("http://localhost:8080/hook", [ip_network(LOOPBACK[0])])

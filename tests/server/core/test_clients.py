"""Tests of client addresses: only headers of trusted proxies count."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.requests import Request

from aiplatform.server.core.clients import client_address, network_of, parse_address
from aiplatform.server.core.settings import Settings
from tests.conftest import environment


def request_from(client: tuple[str, int] | None, *forwarded: str, **headers: str) -> Request:
    lines = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    lines += [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "client": client, "headers": lines})


def peer(host: str) -> tuple[str, int]:
    return (host, 50000)


@pytest.fixture
def trusted(request: Any) -> Iterator[None]:
    with environment(AIPLATFORM_TRUSTED_PROXIES=request.param):
        yield


def trusting(networks: str) -> Any:
    return pytest.mark.parametrize("trusted", [networks], indirect=True, ids=[networks])


class TestWithoutProxies:
    @pytest.mark.usefixtures("trusted")
    @trusting("")
    @pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7", "2001:db8::7"])
    def test_client_address_without_proxies_ignores_headers(self, host: str) -> None:
        spoofed = request_from(peer(host), "198.51.100.1", forwarded="for=198.51.100.1")
        assert client_address(spoofed) == host

    @pytest.mark.usefixtures("trusted")
    @trusting("")
    @pytest.mark.parametrize("client", [None, ("", 0), peer("testclient")])
    def test_client_address_without_peer_address_is_none(
        self, client: tuple[str, int] | None
    ) -> None:
        assert client_address(request_from(client, "198.51.100.1")) is None


@pytest.mark.usefixtures("trusted")
@trusting("10.0.0.0/8, 2001:db8:1::/48,127.0.0.1")
class TestBehindProxies:
    @pytest.mark.parametrize(
        ("host", "forwarded", "expected"),
        [
            # The nearest proxy appends the address that it saw. A client's own entries are to its
            # left.
            ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", ["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", ["127.0.0.1, 10.9.9.9, 192.0.2.7"], "192.0.2.7"),
            # A chain of trusted proxies is followed to its end.
            ("127.0.0.1", ["203.0.113.9, 192.0.2.7, 10.0.0.3, 10.0.0.2"], "192.0.2.7"),
            ("2001:db8:1::5", ["2001:DB8:0:0::7"], "2001:db8::7"),
            # Several header lines form one list.
            ("10.0.0.1", ["203.0.113.9", "192.0.2.7", "10.0.0.2"], "192.0.2.7"),
            # If all addresses are trusted, the request came from the proxies' own network.
            ("10.0.0.1", ["10.0.0.8"], "10.0.0.8"),
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", [""], "10.0.0.1"),
            # An untrusted peer: its header is ignored.
            ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
            ("11.0.0.1", ["10.0.0.1"], "11.0.0.1"),
            # An invalid entry ends the chain, and entries to its left are not used.
            ("10.0.0.1", ["192.0.2.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", ["192.0.2.7, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", ["192.0.2.7,"], "10.0.0.1"),
            ("10.0.0.1", ["1.2.3.4'); DROP TABLE users; --"], "10.0.0.1"),
            # Formats in which proxies write addresses.
            ("10.0.0.1", ["192.0.2.7:4711"], "192.0.2.7"),
            ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
            # A dual-stack socket reports IPv4 peers as mapped addresses.
            ("::ffff:10.0.0.1", ["::ffff:192.0.2.7"], "192.0.2.7"),
            ("::ffff:192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ],
    )
    def test_client_address_is_the_first_untrusted_one(
        self, host: str, forwarded: list[str], expected: str
    ) -> None:
        assert client_address(request_from(peer(host), *forwarded)) == expected

    def test_client_address_ignores_forwarded_header(self) -> None:
        request = request_from(peer("10.0.0.1"), forwarded="for=203.0.113.9")
        assert client_address(request) == "10.0.0.1"

    def test_client_address_of_very_long_chain_stops_early(self) -> None:
        request = request_from(peer("10.0.0.1"), "192.0.2.7" + ", 10.0.0.2" * 5000)
        assert client_address(request) == "10.0.0.2"

    def test_client_address_on_unix_socket_is_none_by_default(self) -> None:
        assert client_address(request_from(None, "192.0.2.7")) is None


@pytest.mark.usefixtures("trusted")
@trusting("unix")
class TestOnUnixSocket:
    def test_client_address_on_trusted_unix_socket_is_read(self) -> None:
        assert client_address(request_from(None, "203.0.113.9, 192.0.2.7")) == "192.0.2.7"
        assert client_address(request_from(None)) is None

    def test_client_address_of_other_peer_is_its_own(self) -> None:
        assert client_address(request_from(peer("127.0.0.1"), "192.0.2.7")) == "127.0.0.1"


@pytest.mark.parametrize("text", ["", "a", "1.2.3", "1.2.3.4.5", "[", "1.2.3.4/8", "0x7f.1", ":"])
def test_parse_address_of_invalid_text_is_none(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize("value", ["10.0.0.1/8", "proxy.example.com", "10.0.0.0/40", "*"])
def test_trusted_proxies_with_invalid_value_is_refused(value: str) -> None:
    with environment(AIPLATFORM_TRUSTED_PROXIES=value), pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, None),
    ],
)
def test_network_of_is_ipv4_address_or_ipv6_customer(
    address: str | None, network: str | None
) -> None:
    assert network_of(address) == network

"""Addresses of clients: what trusted proxies say counts, what anybody else says does not."""

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
    def test_headers_are_nobodys_word(self, host: str) -> None:
        spoofed = request_from(peer(host), "198.51.100.1", forwarded="for=198.51.100.1")
        assert client_address(spoofed) == host

    @pytest.mark.usefixtures("trusted")
    @trusting("")
    @pytest.mark.parametrize("client", [None, ("", 0), peer("testclient")])
    def test_no_address_is_none(self, client: tuple[str, int] | None) -> None:
        assert client_address(request_from(client, "198.51.100.1")) is None


@pytest.mark.usefixtures("trusted")
@trusting("10.0.0.0/8, 2001:db8:1::/48,127.0.0.1")
class TestBehindProxies:
    @pytest.mark.parametrize(
        ("host", "forwarded", "expected"),
        [
            # The nearest proxy appends what it saw; a client's own entries stand left of that.
            ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", ["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", ["127.0.0.1, 10.9.9.9, 192.0.2.7"], "192.0.2.7"),
            # A chain of trusted ones is followed to its far end.
            ("127.0.0.1", ["203.0.113.9, 192.0.2.7, 10.0.0.3, 10.0.0.2"], "192.0.2.7"),
            ("2001:db8:1::5", ["2001:DB8:0:0::7"], "2001:db8::7"),
            # Several lines are one list.
            ("10.0.0.1", ["203.0.113.9", "192.0.2.7", "10.0.0.2"], "192.0.2.7"),
            # Nothing but trusted ones: a request of the proxy's own network.
            ("10.0.0.1", ["10.0.0.8"], "10.0.0.8"),
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", [""], "10.0.0.1"),
            # Not trusted: no word of theirs counts.
            ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
            ("11.0.0.1", ["10.0.0.1"], "11.0.0.1"),
            # What is no address ends what is known, and hides nothing left of it as the client.
            ("10.0.0.1", ["192.0.2.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", ["192.0.2.7, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", ["192.0.2.7,"], "10.0.0.1"),
            ("10.0.0.1", ["1.2.3.4'); DROP TABLE users; --"], "10.0.0.1"),
            # As proxies write them.
            ("10.0.0.1", ["192.0.2.7:4711"], "192.0.2.7"),
            ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
            # A dual-stack socket shows IPv4 peers as mapped ones.
            ("::ffff:10.0.0.1", ["::ffff:192.0.2.7"], "192.0.2.7"),
            ("::ffff:192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ],
    )
    def test_the_first_that_nobody_trusts(
        self, host: str, forwarded: list[str], expected: str
    ) -> None:
        assert client_address(request_from(peer(host), *forwarded)) == expected

    def test_the_other_header_is_not_read(self) -> None:
        request = request_from(peer("10.0.0.1"), forwarded="for=203.0.113.9")
        assert client_address(request) == "10.0.0.1"

    def test_a_hostile_chain_is_not_walked_to_its_end(self) -> None:
        request = request_from(peer("10.0.0.1"), "192.0.2.7" + ", 10.0.0.2" * 5000)
        assert client_address(request) == "10.0.0.2"

    def test_a_socket_file_is_not_trusted_unasked(self) -> None:
        assert client_address(request_from(None, "192.0.2.7")) is None


@pytest.mark.usefixtures("trusted")
@trusting("unix")
class TestBehindASocketFile:
    def test_its_peer_is_believed(self) -> None:
        assert client_address(request_from(None, "203.0.113.9, 192.0.2.7")) == "192.0.2.7"
        assert client_address(request_from(None)) is None

    def test_nobody_else_is(self) -> None:
        assert client_address(request_from(peer("127.0.0.1"), "192.0.2.7")) == "127.0.0.1"


@pytest.mark.parametrize("text", ["", "a", "1.2.3", "1.2.3.4.5", "[", "1.2.3.4/8", "0x7f.1", ":"])
def test_what_is_no_address(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize("value", ["10.0.0.1/8", "proxy.example.com", "10.0.0.0/40", "*"])
def test_a_misspelt_setting_is_refused(value: str) -> None:
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
def test_what_counts_as_one_address(address: str | None, network: str | None) -> None:
    assert network_of(address) == network

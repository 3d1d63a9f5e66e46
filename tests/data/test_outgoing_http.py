"""Tests of the rules for public and internal network addresses."""

from ipaddress import ip_address, ip_network

import pytest

from aiplatform.data.outgoing_http import (
    LOOPBACK,
    METADATA,
    OutgoingRefused,
    is_open,
    require_open_url,
)

PUBLIC = "93.184.215.14"
CLOSED = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "168.63.129.16",
    "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
    "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "100::1",
    "2001:db8::1", "3fff::1", "4000::1", "64:ff9b:1::1",
    # IPv6 addresses with an embedded IPv4 address: mapped, compatible, NAT64, 6to4, Teredo, ISATAP.
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::",
    "2a00:1450:4001::5efe:127.0.0.1", "2a00:1450:4001:0:200:5efe:10.0.0.1",
]  # fmt: skip


class TestIsOpen:
    @pytest.mark.parametrize("address", CLOSED)
    def test_is_open_internal_address_is_false(self, address: str) -> None:
        assert not is_open(ip_address(address), [])

    @pytest.mark.parametrize(
        "address",
        ["1.1.1.1", PUBLIC, "172.32.0.1", "2606:4700:4700::1111", "::ffff:1.1.1.1",
         "64:ff9b::1.1.1.1"],
    )  # fmt: skip
    def test_is_open_public_address_is_true(self, address: str) -> None:
        assert is_open(ip_address(address), [])

    def test_is_open_address_in_an_allowed_network_is_true(self) -> None:
        networks = [ip_network("10.1.0.0/16"), ip_network("fd12::/16")]
        for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::5"):
            assert is_open(ip_address(address), networks)
        for address in ("10.2.0.1", "fd13::1", "127.0.0.1"):
            assert not is_open(ip_address(address), networks)

    @pytest.mark.parametrize(
        ("address", "network"),
        [("169.254.169.254", "169.254.0.0/16"), ("169.254.170.2", "169.254.0.0/16"),
         ("169.254.170.23", "169.254.170.0/24"), ("100.100.100.200", "100.64.0.0/10"),
         ("168.63.129.16", "168.63.0.0/16"), ("fd00:ec2::254", "fc00::/7"),
         ("fd00:ec2::23", "fd00::/8"), ("fd20:ce::254", "fd20::/16")],
    )  # fmt: skip
    def test_is_open_metadata_address_needs_a_network_of_its_own(
        self, address: str, network: str
    ) -> None:
        assert not is_open(ip_address(address), [])
        assert not is_open(ip_address(address), [ip_network(network)])
        assert is_open(ip_address(address), [ip_network(address)])

    @pytest.mark.parametrize("network", ["::1/128", "::/127", "::/0"])
    def test_is_open_ipv6_loopback_can_be_allowed(self, network: str) -> None:
        assert is_open(ip_address("::1"), [ip_network(network)])

    def test_is_open_ipv6_loopback_is_not_in_an_ipv4_network(self) -> None:
        assert not is_open(ip_address("::1"), [ip_network("0.0.0.0/0")])

    def test_is_open_metadata_address_in_the_widest_network_is_false(self) -> None:
        wide = [ip_network("0.0.0.0/0"), ip_network("::/0")]
        assert is_open(ip_address("10.0.0.1"), wide)
        for address in METADATA:
            assert not is_open(address, wide)
            if address.version == 4:
                assert not is_open(ip_address(f"::ffff:{address}"), wide)
        assert is_open(ip_address("169.254.169.254"), [ip_network("169.254.169.254/32")])


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

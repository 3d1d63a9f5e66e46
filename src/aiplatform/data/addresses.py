"""Rules that tell public network addresses from internal ones, without any DNS lookup."""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = frozenset(
    map(
        ip_address,
        (
            # AWS and most other providers; Alibaba; Azure's host; then AWS and Google over IPv6.
            "169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254",
            # AWS for containers: tasks in ECS, pods in EKS.
            "169.254.170.2", "169.254.170.23", "fd00:ec2::23",
        ),
    )
)  # fmt: skip
"""Addresses of cloud metadata services, which issue credentials.

They may be called only if the administrator allows that very address; a larger allowed network that
contains it is not enough.
"""

_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_CLOSED: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            # Tunnels that carry an IPv4 address (Teredo, 6to4). No public service uses them.
            "2001::/23", "2002::/16",
            # Documentation, benchmarking and relays: in some Python versions, ``is_global`` is True
            # for them.
            "2001:db8::/32", "3fff::/20", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
            "100.64.0.0/10", "0.0.0.0/8", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
_ISATAP = re.compile(rb"^(\x00\x00|\x02\x00)\x5e\xfe")
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_ENDS_IN_A_NUMBER = re.compile(r"(^|\.)(\d+|0[xX][0-9a-fA-F]*)\.?$")


LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))
_THIS_MACHINE = re.compile(
    r"(.+\.)?localhost|localhost\.localdomain|ip6-(localhost|loopback)", re.IGNORECASE
)


def names_this_machine(host: str) -> bool:
    """Return True if the host name always means this machine (RFC 6761, and Debian's names)."""
    return _THIS_MACHINE.fullmatch(host.removesuffix(".")) is not None


def plain(address: Address) -> Address:
    """Return the address that packets would reach: the IPv4 address if an IPv6 one embeds it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        # :: and ::1 are IPv6 addresses, not embedded IPv4 addresses.
        compatible = address.packed[:12] == bytes(12) and int(address) > 1
        if address in _NAT64 or compatible:
            return IPv4Address(address.packed[12:])
    return address


def is_open(address: Address, networks: Iterable[Network]) -> bool:
    """Return True if calls may go to ``address``: it is public, or in one of ``networks``."""
    reached = plain(address)
    for network in networks:
        if reached in network and (reached not in METADATA or network.num_addresses == 1):
            return True
    if reached in METADATA or any(reached in network for network in _CLOSED):
        return False
    if isinstance(reached, IPv6Address) and (
        reached not in _GLOBAL_UNICAST or _ISATAP.match(reached.packed[8:])
    ):
        return False
    return reached.is_global and not (
        reached.is_private
        or reached.is_loopback
        or reached.is_link_local
        or reached.is_multicast
        or reached.is_reserved
        or reached.is_unspecified
    )


def literal(host: str) -> Address | None:
    """Return ``host`` as an address if it is written as one; None for a name.

    Raises:
        ValueError: the host is spelt in a way that resolvers read as an address but people do not
            (``127.1``, ``0x7f000001``, ``017700000001``), or the address has a zone.
    """
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        if not _NAME.fullmatch(host) or _ENDS_IN_A_NUMBER.search(host):
            raise ValueError(
                f"{host} is neither a host name nor an address in its usual form"
            ) from None
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{host} names a zone")
    return address

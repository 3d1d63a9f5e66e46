"""Functions that find the address of a client, even behind proxies.

Only the address of the connection's peer is certain. ``X-Forwarded-For`` is read from its right
end, where proxies append. An entry counts only if it was added by a proxy listed in
``AIPLATFORM_TRUSTED_PROXIES``. Reading stops at the first address that is not trusted. Entries
written by the client itself are further left, so they are never read.

The header ``Forwarded`` (RFC 7239) is not read. A proxy that is configured for one of the two
headers passes on the other one unchanged, so reading both would let clients forge their address.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.requests import HTTPConnection

from aiplatform.server.core.settings import get_settings

UNIX = "unix"
"""Name for the peers of a Unix socket, which have no address."""

MAX_HOPS = 32
"""Largest number of entries that are read. Real chains of proxies are shorter."""

IPV6_CUSTOMER = 64
"""Length in bits of the network prefix that identifies one IPv6 customer."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Proxies whose ``X-Forwarded-For`` is trusted; ``unix`` means peers of a Unix socket."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, parts: Sequence[str]) -> "TrustedProxies":
        """Parse a list of CIDRs, addresses and the word ``unix``.

        Raises:
            ValueError: a part of the list is invalid; the message names it.
        """
        return _parse(tuple(parts))

    def trusts(self, address: Address) -> bool:
        """Return True if ``address`` belongs to a trusted proxy."""
        return any(address in network for network in self.networks)


@lru_cache(maxsize=16)
def _parse(parts: tuple[str, ...]) -> TrustedProxies:
    networks = tuple(ip_network(part) for part in parts if part != UNIX)
    return TrustedProxies(networks=networks, unix=UNIX in parts)


def client_address(request: HTTPConnection) -> str | None:
    """Return the client's address in canonical form, without zone or port.

    PostgreSQL's type ``inet`` accepts it. The result is None if the address is unknown, as on a
    Unix socket unless a trusted proxy reports one.
    """
    trusted = TrustedProxies.parse(get_settings().trusted_proxies)
    peer: Address | None = None
    if request.client is not None and request.client.host:
        peer = parse_address(request.client.host)
        if peer is None or not trusted.trusts(peer):
            return None if peer is None else str(peer)
    elif not trusted.unix:
        return None
    nearest = peer
    for hop, text in enumerate(_from_the_right(request.headers.getlist("x-forwarded-for"))):
        address = parse_address(text)
        # An invalid entry ends the chain; the last trusted proxy is then the best result.
        if address is None or hop == MAX_HOPS:
            break
        nearest = address
        if not trusted.trusts(address):
            break
    return None if nearest is None else str(nearest)


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address | None:
    """Parse an address in any form that proxies write: ``1.2.3.4``, ``1.2.3.4:80``, ``[::1]:80``.

    Return None if it is invalid. An IPv4-mapped IPv6 address (``::ffff:1.2.3.4``), as a dual-stack
    socket reports it, becomes the IPv4 address. Otherwise it would match no IPv4 network.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def network_of(address: str | None) -> str | None:
    """Return the network that counts as one client: one IPv4 address, or an IPv6 /64.

    A customer of a provider usually has a whole IPv6 /64, so a limit for each IPv6 address would
    limit nobody. The result is None for an unknown or invalid address.
    """
    parsed = None if address is None else parse_address(address)
    if parsed is None:
        return None
    bits = IPV6_CUSTOMER if isinstance(parsed, IPv6Address) else parsed.max_prefixlen
    return str(ip_network(f"{parsed}/{bits}", strict=False))


def neighbourhood_of(address: str | None) -> str | None:
    """Return the network in which a customer's address usually changes: IPv4 /24, or IPv6 /48.

    The result is None for an unknown or invalid address.
    """
    parsed = None if address is None else parse_address(address)
    if parsed is None:
        return None
    bits = 48 if isinstance(parsed, IPv6Address) else 24
    return str(ip_network(f"{parsed}/{bits}", strict=False))


def _from_the_right(values: list[str]) -> Iterator[str]:
    """Yield the entries of ``X-Forwarded-For``, last first; ``values`` are the header's lines."""
    for value in reversed(values):
        yield from reversed(value.split(","))

"""From which address a request comes, behind proxies or not.

Only the peer of the connection is certain. What it says about the one before it counts when the
peer is a proxy that ``AIPLATFORM_TRUSTED_PROXIES`` names; that one's word counts when it is named
too, and so on: ``X-Forwarded-For`` is read from its right end, where trusted proxies append, and
never further than the first address that nobody trusts. A client's own entries stand left of that.

The header ``Forwarded`` (RFC 7239) is not read. A proxy that is set up for one of the two headers
passes the other on as the client sent it, so reading both would let clients name themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.requests import HTTPConnection

from aiplatform.server.core.settings import get_settings

UNIX = "unix"
"""Stands for the peers of a unix socket, who have no address."""

MAX_HOPS = 32
"""No real chain of proxies is longer; a hostile header is not walked to its end."""

IPV6_CUSTOMER = 64
"""Bits of an IPv6 address that its owner can't choose."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Networks whose word on ``X-Forwarded-For`` counts; ``unix`` trusts peers of a socket file."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, parts: Sequence[str]) -> "TrustedProxies":
        """From CIDRs, addresses and the word ``unix``.

        Raises:
            ValueError: names the part that is none of these.
        """
        return _parse(tuple(parts))

    def trusts(self, address: Address) -> bool:
        """Whether ``address`` is such a proxy's."""
        return any(address in network for network in self.networks)


@lru_cache(maxsize=16)
def _parse(parts: tuple[str, ...]) -> TrustedProxies:
    networks = tuple(ip_network(part) for part in parts if part != UNIX)
    return TrustedProxies(networks=networks, unix=UNIX in parts)


def client_address(request: HTTPConnection) -> str | None:
    """The client's address as PostgreSQL's ``inet`` takes it: canonical, without zone or port.

    None where there is none to be known: on a unix socket without a trusted proxy's word.
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
        # An entry that is no address ends what is known: the last proxy that was trusted.
        if address is None or hop == MAX_HOPS:
            break
        nearest = address
        if not trusted.trusts(address):
            break
    return None if nearest is None else str(nearest)


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address | None:
    """An address as proxies write it: ``1.2.3.4``, ``1.2.3.4:80``, ``::1``, ``[::1]:80``.

    An IPv4 address in IPv6's clothes (``::ffff:1.2.3.4``) is the IPv4 address, or a dual-stack
    socket would hide it from the networks that name it.
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
    """What counts as one address: that of IPv4, the customer's network of IPv6.

    Who rents a machine has more addresses of IPv6 than all limits together.
    """
    parsed = None if address is None else parse_address(address)
    if parsed is None:
        return None
    bits = IPV6_CUSTOMER if isinstance(parsed, IPv6Address) else parsed.max_prefixlen
    return str(ip_network(f"{parsed}/{bits}", strict=False))


def neighbourhood_of(address: str | None) -> str | None:
    """Return the network in which a provider changes a customer's address from day to day."""
    parsed = None if address is None else parse_address(address)
    if parsed is None:
        return None
    bits = 48 if isinstance(parsed, IPv6Address) else 24
    return str(ip_network(f"{parsed}/{bits}", strict=False))


def _from_the_right(values: list[str]) -> Iterator[str]:
    """The entries of all lines of the header, the last one first."""
    for value in reversed(values):
        yield from reversed(value.split(","))

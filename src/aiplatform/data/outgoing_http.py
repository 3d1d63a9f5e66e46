"""Outgoing HTTP calls: a transport for httpx that connects only to public addresses.

Administrators can allow more networks. A host name is resolved once, all its addresses are checked,
and the connection goes to one of the checked addresses; so a DNS response that changes after the
check (DNS rebinding) has no effect. Each request opens its own connection, so the target of a
redirect is checked as well.
"""

import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

import httpcore
import httpx

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
    """Return the address that packets would reach: an embedded IPv4 address, if there is one."""
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


Origin = tuple[str, int]
"""A host and a port."""


class OutgoingRefused(httpx.RequestError):
    """The target address is not allowed for outgoing calls."""


class AnswerTooLarge(httpx.ReadError):
    """The body of a response is larger than the caller accepts."""


def require_open_url(url: str, networks: Sequence[Network] = ()) -> httpx.URL:
    """Check the form of a URL that a user entered, without a DNS lookup, and return it parsed.

    Args:
        url: The URL.
        networks: Networks that may be called besides the public ones.

    Raises:
        OutgoingRefused: the URL may not be called; the message says why.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise OutgoingRefused("The address is no URL.") from error
    _check_form(parsed)
    address = _literal(parsed.raw_host.decode("ascii"))
    if address is not None:
        check_addresses(parsed.host, port_of(parsed), [address], networks)
    elif names_this_machine(parsed.host) and not any(is_open(each, networks) for each in LOOPBACK):
        # A lookup at call time would refuse it as well, but only after the URL had been saved.
        check_addresses(parsed.host, port_of(parsed), LOOPBACK, networks)
    elif not networks:
        _check_port(port_of(parsed))
    return parsed


def port_of(url: httpx.URL) -> int:
    """Return the port of ``url``, or the default port of its scheme."""
    return url.port or (443 if url.scheme == "https" else 80)


def _check_form(url: httpx.URL) -> None:
    if url.scheme not in {"http", "https"} or not url.host:
        raise OutgoingRefused("Only http and https addresses with a host can be called.")
    if url.userinfo:
        raise OutgoingRefused("The address must not contain a user name or password.")
    if len(url.host) > 253:
        raise OutgoingRefused("The host name is too long.")


def _literal(host: str) -> Address | None:
    try:
        return literal(host)
    except ValueError as error:
        raise OutgoingRefused(f"{error}.") from error


def check_addresses(
    host: str, port: int, addresses: Sequence[Address], networks: Sequence[Network]
) -> None:
    """Raise ``OutgoingRefused`` unless all addresses of a host may be called.

    Args:
        host: The host, for the message.
        port: The port to call.
        addresses: All addresses of the host.
        networks: Networks that may be called besides the public ones.

    Raises:
        OutgoingRefused: an address may not be called; the message says how to allow it.
    """
    for address in addresses:
        if not is_open(address, networks):
            # The message does not contain the address: users must not learn internal addresses.
            raise OutgoingRefused(
                f"{host} is not a public address. An administrator can open a network with "
                "AIPLATFORM_OUTGOING_NETWORKS."
            )
        if not any(plain(address) in network for network in networks):
            _check_port(port)


def _check_port(port: int) -> None:
    if port not in {80, 443} and port < 1024:
        raise OutgoingRefused(f"Port {port} is not called; use 80, 443 or one above 1023.")


def resolve(host: str, port: int, timeout: float) -> list[Address]:
    """Return all addresses of ``host``, in the order in which to try them.

    Args:
        host: A name, or an address as text.
        port: The port to call.
        timeout: Seconds to wait for the name server.

    Raises:
        httpcore.ConnectError: the host has no address.
        httpcore.ConnectTimeout: the name server does not respond in time.
        OutgoingRefused: the host is written in a way that is not allowed.
    """
    given = _literal(host)
    if given is not None:
        return [given]
    answers: queue.SimpleQueue[list[Any] | OSError | UnicodeError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    # The resolver has no timeout, so its thread is abandoned if there is no response.
    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=max(timeout, 0.01))
    except queue.Empty:
        raise httpcore.ConnectTimeout(f"{host}: no answer from the name server") from None
    if not isinstance(answer, list):
        raise httpcore.ConnectError(f"{host} has no address")
    try:
        return list(dict.fromkeys(ip_address(entry[4][0]) for entry in answer))
    except ValueError as error:
        raise OutgoingRefused(f"{host} has an address that can't be judged.") from error


class _Stream(httpcore.NetworkStream):
    """A connection with one deadline for all reads and writes.

    A server that sends a few bytes at a time can't prolong the call.
    """

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def _left(self, timeout: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the call took too long")
        return left if timeout is None else min(timeout, left)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _CheckedNetwork(httpcore.NetworkBackend):
    """A network backend that connects to checked addresses; TLS still verifies the host name."""

    def __init__(
        self, total: float, networks: Sequence[Network], trusted: frozenset[Origin]
    ) -> None:
        self._total = total
        self._networks = networks
        self._trusted = trusted
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        deadline = time.monotonic() + self._total
        addresses = resolve(host, port, self._total if timeout is None else timeout)
        if (host, port) not in self._trusted:
            check_addresses(host, port, addresses, self._networks)
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in addresses[:4]:
            left = min(deadline - time.monotonic(), timeout or self._total)
            if left <= 0:
                break
            try:
                stream = self._network.connect_tcp(
                    str(address), port, left, local_address, socket_options
                )
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
            else:
                return _Stream(stream, deadline)
        raise failure or httpcore.ConnectTimeout("the call took too long")


@cache
def _tls() -> ssl.SSLContext:
    # This reads SSL_CERT_FILE and SSL_CERT_DIR, for companies with their own certificate
    # authorities.
    return httpx.create_ssl_context()


@contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    """Turn exceptions of httpcore into those of httpx with the same names."""
    try:
        yield
    except httpx.RequestError as error:
        error.request = request
        raise
    except (
        httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException,
        httpcore.UnsupportedProtocol,
    ) as error:  # fmt: skip
        kind: type[httpx.RequestError] = getattr(httpx, type(error).__name__, httpx.NetworkError)
        raise kind(str(error), request=request) from error


class _Body(httpx.SyncByteStream):
    """The body of a response, with a size limit.

    A refused body raises an error only when it is read, so that the caller can still use the status
    and the headers.
    """

    def __init__(
        self,
        response: httpcore.Response,
        request: httpx.Request,
        max_bytes: int,
        *,
        refused: bool,
    ) -> None:
        self._response = response
        self._request = request
        self._max_bytes = max_bytes
        self._refused = refused

    def __iter__(self) -> Iterator[bytes]:
        if self._refused:
            # The body could unpack to any size, and the request did not offer compression.
            raise httpx.DecodingError("the answer is compressed, unasked", request=self._request)
        seen = 0
        with _as_httpx(self._request):
            for chunk in self._response.iter_stream():
                seen += len(chunk)
                if seen > self._max_bytes:
                    raise AnswerTooLarge(f"the answer is larger than {self._max_bytes} bytes")
                yield chunk

    def close(self) -> None:
        self._response.close()


class CheckedTransport(httpx.BaseTransport):
    """A transport that sends each request on its own connection to a checked address.

    Args:
        timeout: Seconds that one call may take in total, including name lookup and response.
        max_bytes: Largest size of a response body; a larger one raises :class:`AnswerTooLarge`.
        networks: Networks that may be called besides the public ones.
        trusted: Hosts and ports that an administrator chose; their addresses are not checked.
        accepts_compressed: True to accept bodies with a content encoding; the limit then applies to
            their compressed size.
    """

    def __init__(
        self,
        *,
        timeout: float,
        max_bytes: int,
        networks: Sequence[Network] = (),
        trusted: frozenset[Origin] = frozenset(),
        accepts_compressed: bool = False,
    ) -> None:
        self._max_bytes = max_bytes
        self._accepts_compressed = accepts_compressed
        # No connections are kept: the pool would reuse them by name, without a new check.
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_keepalive_connections=0,
            network_backend=_CheckedNetwork(timeout, networks, trusted),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the response.

        Raises:
            OutgoingRefused: the address may not be called.
            httpx.RequestError: the call fails for another reason.
        """
        with _as_httpx(request):
            _check_form(request.url)
            # A Host header from the caller could select another site on a shared server.
            request.headers["Host"] = request.url.netloc.decode("ascii")
            assert isinstance(request.stream, httpx.SyncByteStream)
            answer = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions={
                        key: value for key, value in request.extensions.items() if key == "timeout"
                    },
                )
            )
        headers = httpx.Headers(answer.headers)
        packed = headers.get("content-encoding", "identity").lower() != "identity"
        return httpx.Response(
            status_code=answer.status,
            headers=headers,
            stream=_Body(
                answer, request, self._max_bytes, refused=packed and not self._accepts_compressed
            ),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

"""Calls to the outside: a transport for httpx that reaches public addresses and nothing else.

A name is looked up once, every address it has is judged, and the connection is made to a judged
address, so an answer that changes between check and connection gains nothing. Each request is a
connection of its own, so whoever follows a redirect has its target judged like any other.
"""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx

from aiplatform.data.addresses import (
    LOOPBACK,
    Address,
    Network,
    is_open,
    literal,
    names_this_machine,
    plain,
)

Origin = tuple[str, int]
"""A host and a port."""


class OutgoingRefused(httpx.RequestError):
    """The address may not be called, whatever is there."""


class AnswerTooLarge(httpx.ReadError):
    """The answer has more bytes than the caller takes."""


def require_open_url(url: str, networks: Sequence[Network] = ()) -> httpx.URL:
    """Judge an address that somebody types in by its form alone; nothing is looked up.

    Args:
        networks: those that are open besides the public ones.

    Raises:
        OutgoingRefused: saying what is wrong with it.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise OutgoingRefused("The address is no URL.") from error
    _judge_form(parsed)
    address = _literal(parsed.raw_host.decode("ascii"))
    if address is not None:
        judge(parsed.host, port_of(parsed), [address], networks)
    elif names_this_machine(parsed.host) and not any(is_open(each, networks) for each in LOOPBACK):
        # Later look-ups would refuse it as well, but only after the address was taken.
        judge(parsed.host, port_of(parsed), LOOPBACK, networks)
    elif not networks:
        _judge_port(port_of(parsed))
    return parsed


def port_of(url: httpx.URL) -> int:
    """The port that ``url`` names or its scheme has."""
    return url.port or (443 if url.scheme == "https" else 80)


def _judge_form(url: httpx.URL) -> None:
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


def judge(host: str, port: int, addresses: Sequence[Address], networks: Sequence[Network]) -> None:
    """Refuse a host any of whose addresses is not open.

    Raises:
        OutgoingRefused: it says what to do about it.
    """
    for address in addresses:
        if not is_open(address, networks):
            # Which address a name has inside is nobody's business outside.
            raise OutgoingRefused(
                f"{host} is not a public address. An administrator can open a network with "
                "AIPLATFORM_OUTGOING_NETWORKS."
            )
        if not any(plain(address) in network for network in networks):
            _judge_port(port)


def _judge_port(port: int) -> None:
    if port not in {80, 443} and port < 1024:
        raise OutgoingRefused(f"Port {port} is not called; use 80, 443 or one above 1023.")


def look_up(host: str, port: int, timeout: float) -> list[Address]:
    """All addresses of ``host``, in the order in which to try them.

    Raises:
        httpcore.ConnectError: when it has none.
        httpcore.ConnectTimeout: when nobody answers in time.
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

    # The resolver takes no deadline, so it is left behind when it does not answer.
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
    """A connection whose every wait ends at one deadline, so dripping bytes gains no time."""

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


class _JudgedNetwork(httpcore.NetworkBackend):
    """Connects to addresses that were judged, never to names. Host and SNI stay the name's."""

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
        addresses = look_up(host, port, self._total if timeout is None else timeout)
        if (host, port) not in self._trusted:
            judge(host, port, addresses, self._networks)
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
    # Reads SSL_CERT_FILE and SSL_CERT_DIR: companies have authorities of their own.
    return httpx.create_ssl_context()


@contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    """What httpcore raises, as httpx's exception of the same name."""
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
    """What it refuses, it refuses when it is read: status and headers are good without it."""

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
            # It could unpack to any size; we say that we take none.
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


class JudgedTransport(httpx.BaseTransport):
    """Each request on a connection of its own to a judged address, within one deadline.

    Args:
        timeout: seconds that one call may take in all, name look-up and answer included.
        max_bytes: of an answer's body; more raises :class:`AnswerTooLarge`.
        networks: those that are open besides the public ones.
        trusted: hosts and ports that an administrator chose, whatever address they have.
        takes_packed: whether a body may have a content encoding, which is then left as it is.
    """

    def __init__(
        self,
        *,
        timeout: float,
        max_bytes: int,
        networks: Sequence[Network] = (),
        trusted: frozenset[Origin] = frozenset(),
        takes_packed: bool = False,
    ) -> None:
        self._max_bytes = max_bytes
        self._takes_packed = takes_packed
        # A pool reuses connections by name, and a name judged a while ago is not judged.
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_keepalive_connections=0,
            network_backend=_JudgedNetwork(timeout, networks, trusted),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it.

        Raises:
            OutgoingRefused: for an address that may not be called.
            httpx.RequestError: when the call fails otherwise.
        """
        with _as_httpx(request):
            _judge_form(request.url)
            # What a caller passes as Host must not lead a shared server elsewhere.
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
                answer, request, self._max_bytes, refused=packed and not self._takes_packed
            ),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close what is open."""
        self._pool.close()

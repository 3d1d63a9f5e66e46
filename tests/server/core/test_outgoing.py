"""Tests that calls to user-supplied URLs reach only public hosts, even with misleading DNS."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from aiplatform.data import outgoing_http
from aiplatform.server.core.outgoing import (
    AnswerTooLarge,
    OutgoingRefused,
    client,
    require_open_url,
)
from tests.conftest import environment

PUBLIC = "93.184.215.14"


class Inside(ThreadingHTTPServer):
    """A server on this machine that calls to user-supplied URLs must not reach."""

    daemon_threads = True

    def __init__(self) -> None:
        self.hits: list[tuple[str, str, dict[str, str]]] = []
        self.redirect_to = ""
        self.drip = 0.0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Inside

    def do_GET(self) -> None:
        self.server.hits.append((self.command, self.path, dict(self.headers)))
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", self.server.redirect_to)
            self.end_headers()
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        elif self.path == "/slow-headers":
            for _ in range(100):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n"[:1])
                self.wfile.flush()
                time.sleep(0.1)
        elif self.path == "/large":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 100_000)
        elif self.path == "/packed":
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(gzip.compress(b"x" * 10_000_000))
        else:
            self.send_response(200)
            self.send_header("Set-Cookie", "a=b")
            self.end_headers()
            self.wfile.write(b"inside")

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def inside() -> Iterator[Inside]:
    server = Inside()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def opened() -> Iterator[None]:
    """Allow calls to this machine's loopback addresses."""
    with environment(AIPLATFORM_OUTGOING_NETWORKS="127.0.0.0/8"):
        yield


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Replace DNS look-ups with a table and return the table.

    It maps each host name to the results of successive look-ups; the last result repeats.
    """
    table: dict[str, list[list[str]]] = {}
    asked: dict[str, int] = {}

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        turn = min(asked.get(host, 0), len(table[host]) - 1)
        asked[host] = asked.get(host, 0) + 1
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM, 6, "", (address, port),
            )
            for address in table[host][turn]
        ]  # fmt: skip

    # Replaced only in this module: httpcore must get addresses, never names.
    class Resolver:
        SOCK_STREAM = socket.SOCK_STREAM

    Resolver.getaddrinfo = staticmethod(getaddrinfo)  # type: ignore[attr-defined]
    monkeypatch.setattr(outgoing_http, "socket", Resolver)
    return table


ODD = [
    "http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0x7f000001/",
    "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/", "http://127.0.0.1./",
    "http://127.000.000.001/", "http://134744072/", "http://0/", "http://[fe80::1%25eth0]/",
    "http://a.0x/", "http://１２７.0.0.1/", "http://127。0。0。1/", "http://[::]/",
    "http://[::ffff:7f00:1]/", "http://[::1]/", "http://localhost./", "http://localhost/",
]  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize("url", ODD)
    def test_loopback_in_odd_spelling_is_refused(self, url: str, inside: Inside) -> None:
        """Use the port of a listening server, so that a wrongly accepted spelling is noticed."""
        # Some resolvers do not know ``localhost.``, which has the same effect as a refusal.
        refusals = (OutgoingRefused, httpx.InvalidURL, httpx.ConnectError)
        with client(timeout=3) as http, pytest.raises(refusals):
            http.get(f"{url.rstrip('/')}:{inside.server_port}/")
        assert inside.hits == []

    @pytest.mark.parametrize(
        "url",
        ["ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com/",
         "/", "", "unix:///run/x", "http://user:pass@example.com/", "http://user@example.com/",
         "http://example.com:22/", "http://example.com:25/", "http:///x", "http://a b/",
         "http://" + "a" * 300 + ".com/", "data:text/plain,x"],
    )  # fmt: skip
    def test_url_of_wrong_form_is_refused(
        self, url: str, names: dict[str, list[list[str]]]
    ) -> None:
        names["example.com"] = [[PUBLIC]]
        names["a" * 300 + ".com"] = [[PUBLIC]]
        refusals = (OutgoingRefused, httpx.InvalidURL, httpx.UnsupportedProtocol)
        with client(timeout=1) as http, pytest.raises(refusals):
            http.get(url)

    def test_loopback_address_is_refused(self, inside: Inside) -> None:
        with client() as http, pytest.raises(OutgoingRefused, match="not a public address"):
            http.get(inside.url)
        assert inside.hits == []

    @pytest.mark.parametrize(
        "answer",
        [["127.0.0.1"], ["::ffff:127.0.0.1"], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC],
         ["64:ff9b::7f00:1"]],
    )  # fmt: skip
    def test_name_with_one_forbidden_address_is_refused(
        self, answer: list[str], inside: Inside, names: dict[str, list[list[str]]]
    ) -> None:
        names["evil.test"] = [answer]
        with client(timeout=2) as http, pytest.raises(OutgoingRefused):
            http.get(f"http://evil.test:{inside.server_port}/")
        assert inside.hits == []

    def test_refusal_does_not_reveal_address_of_name(
        self, names: dict[str, list[list[str]]]
    ) -> None:
        names["intranet.test"] = [["10.9.8.7"]]
        with client() as http, pytest.raises(OutgoingRefused) as caught:
            http.get("http://intranet.test/")
        assert "10.9.8.7" not in str(caught.value)

    def test_proxy_of_environment_is_not_used(
        self, inside: Inside, monkeypatch: pytest.MonkeyPatch, names: dict[str, list[list[str]]]
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, inside.url)
        with client(timeout=1) as http, pytest.raises(httpx.ConnectError):
            http.get("http://unknown.test/")
        assert inside.hits == []


class TestRebinding:
    def test_checked_address_is_the_one_that_is_connected(
        self, inside: Inside, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Let the name resolve first to a public address and then to loopback."""
        names["rebind.test"] = [[PUBLIC], ["127.0.0.1"]]
        tried: list[str] = []

        def connect(self: Any, host: str, port: int, *_: Any, **__: Any) -> Any:
            tried.append(host)
            raise outgoing_http.httpcore.ConnectError("not here")

        monkeypatch.setattr(outgoing_http.httpcore.SyncBackend, "connect_tcp", connect)
        with client() as http, pytest.raises(httpx.ConnectError):
            http.get(f"http://rebind.test:{inside.server_port}/")
        assert tried == [PUBLIC]
        # The next call checks the name again.
        with client() as http, pytest.raises(OutgoingRefused):
            http.get(f"http://rebind.test:{inside.server_port}/")
        assert inside.hits == []

    def test_each_call_of_a_client_checks_the_name_again(
        self, inside: Inside, names: dict[str, list[list[str]]], opened: None
    ) -> None:
        names["rebind.test"] = [["127.0.0.1"], ["10.0.0.1"]]
        with client() as http:
            assert http.get(f"http://rebind.test:{inside.server_port}/").text == "inside"
            with pytest.raises(OutgoingRefused):
                http.get(f"http://rebind.test:{inside.server_port}/")


class TestRedirects:
    def test_redirect_is_not_followed(self, inside: Inside, opened: None) -> None:
        inside.redirect_to = f"{inside.url}/secret"
        with client() as http:
            assert http.get(f"{inside.url}/redirect").status_code == 302
        assert [path for _, path, _ in inside.hits] == ["/redirect"]


class TestLimits:
    @pytest.mark.parametrize("path", ["/slow", "/slow-headers"])
    def test_slow_answer_does_not_extend_timeout(
        self, path: str, inside: Inside, opened: None
    ) -> None:
        began = time.monotonic()
        with client(timeout=0.6) as http, pytest.raises(httpx.TimeoutException):
            http.get(f"{inside.url}{path}")
        assert time.monotonic() - began < 2

    def test_silent_name_server_times_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def never(*_: Any, **__: Any) -> None:
            time.sleep(3)

        class Resolver:
            SOCK_STREAM = socket.SOCK_STREAM
            getaddrinfo = staticmethod(never)

        monkeypatch.setattr(outgoing_http, "socket", Resolver)
        began = time.monotonic()
        with client(timeout=0.3) as http, pytest.raises(httpx.ConnectTimeout):
            http.get("http://slow.test/")
        assert time.monotonic() - began < 2

    def test_too_large_answer_is_refused(self, inside: Inside, opened: None) -> None:
        with client(max_bytes=50_000) as http, pytest.raises(AnswerTooLarge):
            http.get(f"{inside.url}/large")
        with client(max_bytes=100_000) as http:
            assert len(http.get(f"{inside.url}/large").content) == 100_000

    def test_compressed_answer_is_refused(self, inside: Inside, opened: None) -> None:
        with client() as http, pytest.raises(httpx.DecodingError):
            http.get(f"{inside.url}/packed")
        assert inside.hits[0][2]["Accept-Encoding"] == "identity"


class TestRequests:
    def test_host_header_comes_from_the_url(
        self, inside: Inside, opened: None, names: dict[str, list[list[str]]]
    ) -> None:
        names["good.test"] = [["127.0.0.1"]]
        with client() as http:
            http.get(f"http://good.test:{inside.server_port}/", headers={"Host": "other.test"})
        assert inside.hits[0][2]["Host"] == f"good.test:{inside.server_port}"

    @pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b"])
    def test_header_with_line_break_is_refused(
        self, value: str, inside: Inside, opened: None
    ) -> None:
        with client() as http, pytest.raises(httpx.LocalProtocolError):
            http.get(inside.url, headers={"X-Name": value})

    def test_method_with_line_break_is_refused(self, inside: Inside, opened: None) -> None:
        with client() as http, pytest.raises((httpx.LocalProtocolError, ValueError)):
            http.request("GET / HTTP/1.1\r\nX: y\r\n\r\nPOST", inside.url)
        assert inside.hits == []

    def test_unreachable_address_falls_back_to_the_next(
        self, inside: Inside, opened: None, names: dict[str, list[list[str]]]
    ) -> None:
        names["two.test"] = [["127.0.0.9", "127.0.0.1"]]
        with client() as http:
            assert http.get(f"http://two.test:{inside.server_port}/").text == "inside"

    def test_tls_verifies_the_name_of_the_url(
        self, opened: None, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []

        def start_tls(
            self: Any, ssl_context: Any, server_hostname: str | None = None, timeout: Any = None
        ) -> Any:
            seen.append((server_hostname, ssl_context.check_hostname))
            raise outgoing_http.httpcore.ConnectError("enough")

        monkeypatch.setattr(outgoing_http._Stream, "start_tls", start_tls)
        names["good.test"] = [["127.0.0.1"]]
        with Inside() as server, client() as http, pytest.raises(httpx.ConnectError):
            http.get(f"https://good.test:{server.server_port}/")
        assert seen == [("good.test", True)]


@pytest.mark.parametrize(
    ("url", "good"),
    [("https://example.com/hook", True), ("http://8.8.8.8/", True), ("http://10.0.0.1/", False),
     ("http://127.1/", False), ("ftp://example.com", False), ("https://u:p@example.com/", False),
     ("https://1.1.1.1:25/", False), ("http://[::1]/", False), ("nonsense", False),
     ("https://exa mple.com", False), ("https://\ud800.com", False)],
)  # fmt: skip
def test_require_open_url_judges_the_form_alone(url: str, good: bool) -> None:
    check_addresses: Callable[[str], Any] = require_open_url
    if good:
        check_addresses(url)
    else:
        with pytest.raises(OutgoingRefused):
            check_addresses(url)

"""HTTP requests with authentication, safe retries, and errors as exceptions."""

import contextlib
import random
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from aiplatform.client.credentials import NoToken, TokenSource
from aiplatform.client.errors import UnexpectedAnswer, error_from, unreachable
from aiplatform.client.transfers import Body
from aiplatform.language import tr
from aiplatform.protocol.encoding import dumps

API = "/api/v1"
_ATTEMPTS = 4
_BACK_OFF = 0.2
_MAX_BACK_OFF = 5.0
_RETRIED = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_SAFE = {"GET", "HEAD"}


def normalised(url: str) -> str:
    """Return an address in its stored form: with a scheme, but no API path or trailing slash."""
    url = url.strip().rstrip("/")
    if "://" not in url:
        url = f"http://{url}"
    for suffix in (API, "/v1"):
        url = url.removesuffix(suffix)
    return url.rstrip("/")


def segment(value: object) -> str:
    """Return ``value`` as one segment of a URL path, with special characters escaped."""
    return quote(str(value), safe="")


def back_off(attempt: int, response: httpx.Response | None = None) -> float:
    """Return the seconds to wait after the ``attempt``-th failure (from 0), with jitter.

    A time requested by the server (``Retry-After``, in seconds) is used, up to a limit.
    """
    asked = response.headers.get("retry-after", "") if response is not None else ""
    if asked.isdigit():
        return min(float(asked), _MAX_BACK_OFF)
    delay = min(_BACK_OFF * 2.0**attempt, _MAX_BACK_OFF)
    return delay * random.uniform(0.7, 1.3)  # noqa: S311  (jitter, not a secret)


class Transport:
    """The connections to one server; thread-safe.

    Args:
        url: the address of the server.
        timeout: seconds without a byte after which a request fails.
        language: the value of ``Accept-Language``, or ``None``.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 60.0,
        language: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = normalised(url)
        self.tokens: TokenSource = NoToken(self.url)
        headers = {"User-Agent": _user_agent(), "Accept": "application/json"}
        if language:
            headers["Accept-Language"] = language
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=10.0),
            # A server closes idle connections after some seconds (uvicorn: 5). A POST on a
            # connection that is just being closed fails and must not be repeated, so the client
            # closes idle connections earlier.
            limits=httpx.Limits(keepalive_expiry=2.0),
            transport=transport,
            # A proxy from the environment can't reach the loopback address of this machine.
            trust_env=not _is_loopback(self.url),
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: bytes | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        authenticated: bool = True,
        accept_errors: bool = False,
        read_timeout: float | None = None,
    ) -> httpx.Response:
        """Send a request and return the response with its complete body.

        ``json`` is encoded; ``content`` is already JSON. ``read_timeout`` is the number of seconds
        without a byte after which the request fails, if it differs from the transport's.

        Raises:
            ApiError: if the server can't be reached, or, unless ``accept_errors`` is set, if it
                answers with an error.
        """
        body = content if json is None else dumps(json).encode()
        if body is not None:
            headers = {"Content-Type": "application/json", **(headers or {})}

        def build() -> httpx.Request:
            return self._http.build_request(
                method,
                _absolute(path),
                params=_query(params),
                content=body,
                data=form,
                headers=headers,
                timeout=(
                    httpx.USE_CLIENT_DEFAULT
                    if read_timeout is None
                    else httpx.Timeout(60.0, connect=10.0, read=read_timeout)
                ),
            )

        response = self._send(build, authenticated=authenticated, retried=method in _SAFE)
        try:
            response.read()
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        finally:
            response.close()
        if response.is_error and not accept_errors:
            raise error_from(response)
        return response

    def get(self, path: str, **params: Any) -> Any:
        """Send a GET request and return the JSON of the response."""
        return decoded(self.request("GET", path, params=params))

    def post(self, path: str, json: Any = None, **params: Any) -> Any:
        """Send a POST request and return the JSON of the response; None if it is empty."""
        return decoded(self.request("POST", path, params=params, json=json))

    def upload(
        self,
        method: str,
        path: str,
        body: Body,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Stream ``body`` to the server, and return the JSON of the response.

        The server reads and converts the whole file before it responds, which may take a long time.
        A PUT whose body can be read again is repeated if the connection is lost.
        """
        headers = {"Content-Type": "application/octet-stream", **(headers or {})}
        if body.length is not None:
            headers["Content-Length"] = str(body.length)

        def build() -> httpx.Request:
            return self._http.build_request(
                method,
                _absolute(path),
                params=_query(params),
                content=body.chunks(),
                headers=headers,
                timeout=httpx.Timeout(120.0, connect=10.0, read=3600.0),
            )

        response = self._send(
            build,
            authenticated=True,
            retried=body.replayable and method == "PUT",
            renewable=body.replayable,
        )
        try:
            response.read()
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        finally:
            response.close()
        if response.is_error:
            raise error_from(response)
        return decoded(response)

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        read_timeout: float = 60.0,
    ) -> Iterator[httpx.Response]:
        """Send a request and yield the response, whose status is checked but whose body is unread.

        A connection error while reading is raised as ``httpx.TransportError``, because only the
        reader knows whether and where to resume.
        """
        content = None if json is None else dumps(json).encode()
        # With compression, hash and length would differ from those of the file.
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", **(headers or {})}
        if content is not None:
            headers["Content-Type"] = "application/json"

        def build() -> httpx.Request:
            return self._http.build_request(
                method,
                _absolute(path),
                params=_query(params),
                content=content,
                headers=headers,
                timeout=httpx.Timeout(60.0, connect=10.0, read=read_timeout),
            )

        response = self._send(build, authenticated=True, retried=method in _SAFE)
        try:
            if response.is_error:
                response.read()
                raise error_from(response)
            yield response
        finally:
            response.close()

    def _send(
        self, build: Any, *, authenticated: bool, retried: bool, renewable: bool = True
    ) -> httpx.Response:
        """Send the request that ``build`` creates for each attempt; return the unread response."""
        failures = 0
        renewed = False
        while True:
            token = self.tokens.current() if authenticated else None
            request: httpx.Request = build()
            if token is not None:
                request.headers["Authorization"] = f"Bearer {token}"
            try:
                response = self._http.send(request, stream=True)
            except httpx.TransportError as error:
                failures += 1
                if not retried or failures >= _ATTEMPTS:
                    raise unreachable(self.url, error) from error
                time.sleep(back_off(failures - 1))
                continue
            if response.status_code == HTTPStatus.UNAUTHORIZED and token and not renewed:
                renewed = True
                if renewable and self.tokens.renew(token):
                    response.close()
                    continue
            if response.status_code in _RETRIED and retried and failures + 1 < _ATTEMPTS:
                failures += 1
                response.close()
                time.sleep(back_off(failures - 1, response))
                continue
            return response


def decoded(response: httpx.Response) -> Any:
    """Return the JSON of a response, or ``None`` for an empty one.

    Raises:
        UnexpectedAnswer: if the response is not JSON, for instance a proxy's login page.
    """
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        kind = response.headers.get("content-type", "something unnamed")
        raise UnexpectedAnswer(
            tr("{url} answered {kind}, not JSON", url=response.request.url, kind=kind)
        ) from error


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{API}/{path}"


def _query(params: Mapping[str, Any] | None) -> dict[str, str | list[str]] | None:
    if not params:
        return None
    return {
        name: [as_text(item) for item in value]
        if isinstance(value, list | tuple)
        else as_text(value)
        for name, value in params.items()
        if value is not None
    }


def as_text(value: object) -> str:
    """Return ``value`` as text for parameters and metadata."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _user_agent() -> str:
    from aiplatform import __version__  # noqa: PLC0415  (the package resolves Client lazily)

    return f"aiplatform/{__version__}"

"""Client logins: stored sessions, token renewal, and single sign-on."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

import platformdirs

from aiplatform.client.errors import ClientError, Unauthenticated
from aiplatform.client.locks import file_lock
from aiplatform.language import tr

_LOCK_SECONDS = 30.0
_EARLY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Session:
    """A login session on one server.

    ``expires_at`` is when the access token expires, in seconds since the epoch.
    """

    url: str
    username: str
    access_token: str
    refresh_token: str
    expires_at: float
    must_change_password: bool = False

    def is_fresh(self) -> bool:
        """Return True unless the access token has expired or soon will, by this machine's clock."""
        return time.time() < self.expires_at - _EARLY_SECONDS

    def __repr__(self) -> str:
        """Return text without the tokens, because sessions end up in logs and notebooks."""
        return f"Session(url={self.url!r}, username={self.username!r})"


def default_path() -> Path:
    """Return ``AIPLATFORM_CREDENTIALS``, or else a file in the user's configuration directory."""
    override = os.environ.get("AIPLATFORM_CREDENTIALS")
    if override:
        return Path(override).expanduser()
    return platformdirs.user_config_path("aiplatform", appauthor=False) / "credentials.json"


class CredentialStore:
    """A file with login sessions, keyed by server address, and the address of the last login."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def current(self) -> tuple[str | None, Path | None]:
        """Return the server address of the last login.

        If `aiplatform up` runs that server, also return its home directory.
        """
        content = self._read()
        url, home = content.get("current"), content.get("home")
        return (
            url if isinstance(url, str) else None,
            Path(home) if isinstance(home, str) else None,
        )

    def read(self, url: str) -> Session | None:
        """Return the stored session for ``url``; None if there is none."""
        kept = self._read()["sessions"].get(url)
        if kept is None:
            return None
        try:
            return Session(**kept)
        except TypeError as error:
            raise self._unreadable(error) from error

    def write(
        self, session: Session, *, make_current: bool = False, home: Path | None = None
    ) -> None:
        """Store ``session``, replacing an earlier one for the same address.

        Args:
            session: the session to store.
            make_current: use this server for later commands and clients that don't name one.
            home: the directory of the platform, if `aiplatform up` runs it on this machine.
        """
        content = self._read()
        content["sessions"][session.url] = asdict(session)
        if make_current:
            content["current"] = session.url
            content["home"] = None if home is None else str(home)
        self._write(content)

    def remove(self, url: str) -> None:
        """Remove the session for ``url``."""
        content = self._read()
        if content["sessions"].pop(url, None) is not None:
            self._write(content)

    def project(self, url: str) -> tuple[str, str] | None:
        """Return the uuid and name of the project chosen for ``url``; None if none is chosen."""
        kept = self._read().get("projects", {}).get(url)
        if not isinstance(kept, dict):
            return None
        return str(kept.get("uuid")), str(kept.get("name"))

    def use_project(self, url: str, chosen: tuple[str, str] | None) -> None:
        """Store the project (uuid, name) that commands use with ``url``; None removes it."""
        with self.lock():
            content = self._read()
            projects = content.setdefault("projects", {})
            if chosen is None:
                projects.pop(url, None)
            else:
                projects[url] = {"uuid": chosen[0], "name": chosen[1]}
            self._write(content)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold a lock against other threads and processes while a session is being replaced."""
        self._make_directory()
        with file_lock(self.path.with_suffix(".lock"), seconds=_LOCK_SECONDS):
            yield

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {"sessions": {}}
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        if not isinstance(content, dict) or not isinstance(content.get("sessions"), dict):
            raise self._unreadable("it has another form")
        return content

    def _write(self, content: dict[str, Any]) -> None:
        self._make_directory()
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        # O_EXCL and the mode at creation ensure that the file is never readable by others.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _make_directory(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _unreadable(self, reason: object) -> ClientError:
        error = ClientError(
            tr("cannot read the credentials in {path}: {reason}", path=self.path, reason=reason)
        )
        error.hint = tr("Delete the file, and log in again with `aiplatform login`.")
        return error


RefreshCall = Callable[[str], dict[str, Any]]
"""A function that exchanges a refresh token for the response from ``auth/refresh``."""


class TokenSource(Protocol):
    """The interface through which the transport gets access tokens."""

    def current(self) -> str:
        """Return a token to send.

        Raises:
            Unauthenticated: if there is none.
        """
        ...

    def renew(self, rejected: str) -> str | None:
        """Return a token other than ``rejected``; None if there is none."""
        ...


class NoToken:
    """The token source of a client that is not logged in: requests that need a login fail."""

    def __init__(self, url: str) -> None:
        self._url = url

    def current(self) -> str:
        """Raise ``Unauthenticated``, because there is no token."""
        raise Unauthenticated(
            tr("you are not logged in at {url}", url=self._url), code="client.not_logged_in"
        )

    def renew(self, rejected: str) -> str | None:  # noqa: ARG002
        """Return None, because there is no token."""
        return None


class FixedToken:
    """A token from an argument or from ``AIPLATFORM_TOKEN``; it can't be renewed."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> str:
        """Return the token."""
        return self._token

    def renew(self, rejected: str) -> str | None:  # noqa: ARG002
        """Return None, because the token can't be renewed."""
        return None


class SessionTokens:
    """The tokens of a login session; each refresh token can be used only once.

    With a store, the session is shared with other processes, and a renewal holds the store's lock.
    """

    def __init__(
        self, session: Session, refresh: RefreshCall, store: CredentialStore | None = None
    ) -> None:
        self._session = session
        self._refresh = refresh
        self._store = store
        self._lock = threading.Lock()

    @property
    def session(self) -> Session:
        """The session as this process last read or renewed it."""
        return self._session

    def current(self) -> str:
        """Return the access token, renewing it if it is about to expire."""
        session = self._session
        if session.is_fresh():
            return session.access_token
        return self.renew(session.access_token)

    def renew(self, rejected: str) -> str:
        """Renew the access token, unless another thread or process has already done so."""
        with self._lock:
            if self._session.access_token != rejected:
                return self._session.access_token
            if self._store is None:
                self._session = self._exchange(self._session)
            else:
                with self._store.lock():
                    self._session = self._renew_shared(rejected, self._store)
            return self._session.access_token

    def password_changed(self) -> None:
        """Record that the password was changed, so that the session is no longer restricted."""
        with self._lock:
            self._session = replace(self._session, must_change_password=False)
            if self._store is not None:
                with self._store.lock():
                    kept = self._store.read(self._session.url)
                    if kept is not None and kept.username == self._session.username:
                        self._store.write(replace(kept, must_change_password=False))

    def _renew_shared(self, rejected: str, store: CredentialStore) -> Session:
        kept = store.read(self._session.url)
        if kept is None or kept.username != self._session.username:
            # The stored session was removed or belongs to another user. From now on, this client
            # renews its own session without storing it.
            self._store = None
            return self._exchange(self._session)
        if kept.access_token != rejected and kept.is_fresh():
            return kept
        try:
            renewed = self._exchange(kept)
        except Unauthenticated:
            store.remove(kept.url)
            raise
        store.write(renewed)
        return renewed

    def _exchange(self, session: Session) -> Session:
        try:
            answer = self._refresh(session.refresh_token)
        except Unauthenticated as error:
            raise Unauthenticated(
                tr("your session at {url} has ended", url=session.url),
                status=error.status,
                code=error.code,
                title=error.title,
            ) from error
        return session_from(session.url, session.username, answer)


def session_from(url: str, username: str, answer: dict[str, Any]) -> Session:
    """Convert a response from ``auth/token`` or ``auth/refresh`` to a session."""
    return Session(
        url=url,
        username=username,
        access_token=str(answer["access_token"]),
        refresh_token=str(answer["refresh_token"]),
        expires_at=time.time() + float(answer["expires_in"]),
        must_change_password=bool(answer.get("must_change_password", False)),
    )


PAGE = (
    "<!doctype html><meta charset=utf-8><title>AI Platform</title>"
    "<p>You can close this window. 您可以关闭此窗口。"
)


def browse(login_url: str, show: Callable[[str], None], *, timeout: float) -> tuple[str, str]:
    """Log the user in with a browser, and return the authorization code and its verifier.

    Args:
        login_url: the server's address for logins.
        show: called with the address to open.
        timeout: seconds that the user has to log in.

    Raises:
        Unauthenticated: if the server or the sign-on provider rejects the login.
        ClientError: if the user does not finish in time.
    """
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    digest = hashlib.sha256(verifier.encode()).digest()
    answers: list[dict[str, str]] = []
    came = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found = {name: values[0] for name, values in parse_qs(parts.query).items()}
            # Other pages in the user's browser can also send requests here, but don't have the
            # state.
            ours = parts.path == "/" and hmac.compare_digest(
                found.get("state", "").encode(), state.encode()
            )
            self.send_response(200 if ours else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(PAGE.encode() if ours else b"")
            if ours and not answers:
                answers.append(found)
                came.set()

        def log_message(self, *_: object) -> None:
            """Log nothing, because the address contains the code."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        query = urlencode(
            {
                "redirect_uri": f"http://127.0.0.1:{server.server_port}/",
                "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
                "state": state,
            }
        )
        try:
            show(f"{login_url}?{query}")
            came.wait(timeout)
        finally:
            server.shutdown()
            serving.join()
    if not answers:
        raise ClientError(tr("nobody logged in within {timeout:.0f} seconds", timeout=timeout))
    if "code" not in answers[0]:
        reason = answers[0].get("error_description") or answers[0].get("error") or tr("no reason")
        raise Unauthenticated(reason, code=answers[0].get("error", "client.sso"))
    return answers[0]["code"], verifier

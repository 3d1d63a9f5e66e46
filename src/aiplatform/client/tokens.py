"""Access tokens of a client: their sources and their renewal."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from aiplatform.client.credentials import CredentialStore, Session
from aiplatform.client.errors import Unauthenticated
from aiplatform.language import tr

RefreshCall = Callable[[str], dict[str, Any]]
"""A function that exchanges a refresh token for the response from ``auth/refresh``."""


class TokenSource(Protocol):
    """A source of access tokens, as the transport uses it."""

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
    """A token given by argument or ``AIPLATFORM_TOKEN``; it can't be renewed."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> str:
        """Return the token."""
        return self._token

    def renew(self, rejected: str) -> str | None:  # noqa: ARG002
        """Return None, because the token can't be renewed."""
        return None


class SessionTokens:
    """The tokens of a login session; each use of the refresh token replaces it.

    With a store, other processes share the session, and it is renewed under the lock of the store.
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
            # The stored session was ended or now belongs to another user. This client keeps its own
            # session without sharing it.
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
    """Convert a response of ``auth/token`` or ``auth/refresh`` to a session."""
    return Session(
        url=url,
        username=username,
        access_token=str(answer["access_token"]),
        refresh_token=str(answer["refresh_token"]),
        expires_at=time.time() + float(answer["expires_in"]),
        must_change_password=bool(answer.get("must_change_password", False)),
    )

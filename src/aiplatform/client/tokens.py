"""The access token of a client: where it comes from and how it is renewed."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from aiplatform.client.credentials import CredentialStore, Session
from aiplatform.client.errors import Unauthenticated
from aiplatform.language import tr

RefreshCall = Callable[[str], dict[str, Any]]
"""Exchanges a refresh token for an answer of ``auth/refresh``."""


class TokenSource(Protocol):
    """What a transport needs of a login."""

    def current(self) -> str:
        """A token to send.

        Raises:
            Unauthenticated: when there is none.
        """
        ...

    def renew(self, rejected: str) -> str | None:
        """Another token than ``rejected``, or ``None`` when there cannot be one."""
        ...


class NoToken:
    """Nobody is logged in."""

    def __init__(self, url: str) -> None:
        self._url = url

    def current(self) -> str:
        """There is none."""
        raise Unauthenticated(
            tr("you are not logged in at {url}", url=self._url), code="client.not_logged_in"
        )

    def renew(self, rejected: str) -> str | None:  # noqa: ARG002
        """There is none."""
        return None


class FixedToken:
    """A token that was given, by argument or ``AIPLATFORM_TOKEN``: it can't be renewed."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> str:
        """The token."""
        return self._token

    def renew(self, rejected: str) -> str | None:  # noqa: ARG002
        """There is no other."""
        return None


class SessionTokens:
    """A login: access tokens are renewed with a refresh token that every use replaces.

    With a store the session is shared with other processes, and whoever renews it does so under the
    store's lock.
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
        """The session as this process knows it."""
        return self._session

    def current(self) -> str:
        """The access token, renewed when it is about to expire."""
        session = self._session
        if session.is_fresh():
            return session.access_token
        return self.renew(session.access_token)

    def renew(self, rejected: str) -> str:
        """Replace the access token, unless another thread or process has done so already."""
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
        """Note that nothing stands in the session's way any more."""
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
            # Logged out or in as another person meanwhile: this client stays who it is, unshared.
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
    """Read an answer of ``auth/token`` or ``auth/refresh``."""
    return Session(
        url=url,
        username=username,
        access_token=str(answer["access_token"]),
        refresh_token=str(answer["refresh_token"]),
        expires_at=time.time() + float(answer["expires_in"]),
        must_change_password=bool(answer.get("must_change_password", False)),
    )

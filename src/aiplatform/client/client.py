"""The client: one server, one login, and the resources behind it."""

import os
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import httpx

from aiplatform.client.credentials import CredentialStore
from aiplatform.client.datasets import Datasets
from aiplatform.client.deployments import Deployments
from aiplatform.client.errors import ClientError, Unauthenticated
from aiplatform.client.experiments import Experiments
from aiplatform.client.models import Models
from aiplatform.client.people import Audit, Notifications, User, Users
from aiplatform.client.projects import Project, Projects
from aiplatform.client.tasks import Tasks
from aiplatform.client.tokens import FixedToken, NoToken, SessionTokens, session_from
from aiplatform.client.transport import Transport, decoded

DEFAULT_URL = "http://127.0.0.1:8400"


class Client:
    """AI Platform from Python::

        client = Client()  # as `aiplatform login` left it
        dataset = client.datasets.upload("faq", "faq.jsonl", project="demo").wait_ready()

    Args:
        url: address of the server; else ``AIPLATFORM_URL``, else that of the last login, else
            this machine.
        token: an access token; else ``AIPLATFORM_TOKEN``, else the session that ``aiplatform
            login`` left. Only a session is renewed when it expires.
        project: used where an operation needs a project and is given none; else
            ``AIPLATFORM_PROJECT``.
        timeout: seconds without an answer before a request is given up.
        language: of the server's messages, ``en`` or ``zh``.
        credentials: the file that holds the sessions; else ``AIPLATFORM_CREDENTIALS``, else one in
            the user's configuration directory.
        transport: replaces the network, for tests.

    A client may be used by several threads.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        project: Project | UUID | str | None = None,
        timeout: float = 60.0,
        language: str | None = None,
        credentials: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._store = CredentialStore(credentials)
        address = url or os.environ.get("AIPLATFORM_URL") or self._store.current_url()
        self.transport = Transport(
            address or DEFAULT_URL, timeout=timeout, language=language, transport=transport
        )
        self.project = project or os.environ.get("AIPLATFORM_PROJECT") or None
        self._use_kept_login(token or os.environ.get("AIPLATFORM_TOKEN"))

        self.projects = Projects(self)
        self.datasets = Datasets(self)
        self.experiments = Experiments(self)
        self.tasks = Tasks(self)
        self.models = Models(self)
        self.deployments = Deployments(self)
        self.users = Users(self)
        self.notifications = Notifications(self)
        self.audit = Audit(self)

    @property
    def url(self) -> str:
        """Address of the server."""
        return self.transport.url

    @property
    def openai_url(self) -> str:
        """What the ``openai`` package calls ``base_url``."""
        return f"{self.url}/v1"

    @property
    def must_change_password(self) -> bool:
        """Whether the password must be replaced before anything else is allowed."""
        tokens = self.transport.tokens
        return isinstance(tokens, SessionTokens) and tokens.session.must_change_password

    def access_token(self) -> str:
        """A token for other programs, such as ``OpenAI(api_key=client.access_token)``.

        It expires; ask again then.
        """
        return self.transport.tokens.current()

    def login(self, username: str, password: str, *, remember: bool = False) -> "Client":
        """Log in; with ``remember`` for later clients and the command line too.

        Check :attr:`must_change_password` afterwards.

        Raises:
            Unauthenticated: when username or password is wrong.
        """
        form = {"grant_type": "password", "username": username, "password": password}
        try:
            answer = self.transport.request("POST", "auth/token", form=form, authenticated=False)
        except Unauthenticated as error:
            error.hint = ""  # "log in" is no help to one who does
            raise
        session = session_from(self.url, username, decoded(answer))
        if remember:
            with self._store.lock():
                self._store.write(session, make_current=True)
        self.transport.tokens = SessionTokens(
            session, self._refresh, self._store if remember else None
        )
        return self

    def logout(self) -> None:
        """End the session, here and on the server."""
        try:
            self.transport.request("POST", "auth/logout")
        finally:
            with self._store.lock():
                self._store.remove(self.url)
            self._use_kept_login(None)

    def change_password(self, current: str, new: str) -> None:
        """Replace your password. Your other sessions end; this one goes on."""
        body = {"current_password": current, "new_password": new}
        self.transport.request("PUT", "users/me/password", json=body)
        tokens = self.transport.tokens
        if isinstance(tokens, SessionTokens):
            tokens.password_changed()

    def me(self) -> User:
        """The account that is logged in."""
        return self.users.me()

    def health(self) -> dict[str, Any]:
        """How the server is, in detail; needs no login."""
        # A server that is not well answers 503, with the same document.
        response = self.transport.request("GET", "health", authenticated=False, accept_errors=True)
        answer = decoded(response)
        if not isinstance(answer, dict):
            raise ClientError(f"{self.url} is no AI Platform server")
        return answer

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connections."""
        self.close()

    def __repr__(self) -> str:
        """Without the token: clients end up in logs and notebooks."""
        return f"Client(url={self.url!r})"

    def _use_kept_login(self, token: str | None) -> None:
        if token:
            self.transport.tokens = FixedToken(token)
            return
        session = self._store.read(self.url)
        if session is not None:
            self.transport.tokens = SessionTokens(session, self._refresh, self._store)
        else:
            self.transport.tokens = NoToken(self.url)

    def _refresh(self, refresh_token: str) -> dict[str, Any]:
        response = self.transport.request(
            "POST", "auth/refresh", json={"refresh_token": refresh_token}, authenticated=False
        )
        answer: dict[str, Any] = decoded(response)
        return answer

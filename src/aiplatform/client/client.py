"""The client: the connection to a server, with a login and access to all resources."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID

import httpx

from aiplatform.client.accounts import Account, Invitations, Keys, Roles, User, Users
from aiplatform.client.audit import Audit
from aiplatform.client.base import Connection
from aiplatform.client.credentials import (
    CredentialStore,
    FixedToken,
    NoToken,
    SessionTokens,
    browse,
    session_from,
)
from aiplatform.client.datasets import Datasets
from aiplatform.client.deployments import Deployments
from aiplatform.client.errors import ClientError, Unauthenticated
from aiplatform.client.estimates import Estimates
from aiplatform.client.experiments import Experiment, Experiments, Metrics, Runs
from aiplatform.client.external import ExternalRun, ExternalRuns
from aiplatform.client.models import Models
from aiplatform.client.notifications import Notifications, Webhooks
from aiplatform.client.projects import Bin, Project, Projects
from aiplatform.client.schedules import Schedules
from aiplatform.client.scripts import Scripts
from aiplatform.client.secrets import Secrets
from aiplatform.client.sweeps import Sweeps
from aiplatform.client.tasks import Tasks
from aiplatform.client.transport import Transport, decoded
from aiplatform.client.views import Views
from aiplatform.client.workers import Workers
from aiplatform.language import tr
from aiplatform.protocol.platform_home import STATE_FILE, home_directory
from aiplatform.protocol.shapes.licences import LicencesOut

DEFAULT_URL = "http://127.0.0.1:8400"


def find_address(given: str | None, store: CredentialStore) -> str:
    """Return the address of the server, in the order described by :class:`Client`."""
    if named := given or os.environ.get("AIPLATFORM_URL"):
        return named
    last, home = store.current()
    if last is not None and home is None:
        return last
    if last is not None and home is not None and (url := running_url(home)):
        return _follow(store, last, url, home)
    return running_url(home_directory()) or last or DEFAULT_URL


def home_at(url: str) -> Path | None:
    """Return the home directory of the platform running at ``url`` on this machine."""
    home = _resolved(home_directory())
    return home if home is not None and running_url(home) == url.rstrip("/") else None


def running_url(home: Path) -> str | None:
    """Return the address of the platform running in ``home``, or None if none is running.

    A state file that can't be read, for instance another user's, is treated as missing.
    """
    # Windows has no embedded mode, and os.kill(pid, 0) would kill the process there.
    if sys.platform == "win32":
        return None
    try:
        state = json.loads((home / STATE_FILE).read_bytes())
        url, pid = str(state["url"]), int(state["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:  # the process belongs to another user
        return url
    except (OSError, OverflowError):
        return None
    return url


def _follow(store: CredentialStore, last: str, url: str, home: Path) -> str:
    """Move the login from the platform's previous address to its current one."""
    if url != last:
        with store.lock():
            session = store.read(last)
            if session is not None and store.read(url) is None:
                store.write(replace(session, url=url), make_current=True, home=home)
                store.remove(last)
    return url


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return None


class Client(Connection):
    """A client for an AI Platform server.

    For example::

        client = Client()  # uses the session of `aiplatform login`
        dataset = client.datasets.upload("questions", "examples/questions.jsonl").wait_ready()

    Args:
        url: the address of the server. By default ``AIPLATFORM_URL``, then the server of the last
            login, then the platform that `aiplatform up` runs in ``AIPLATFORM_HOME``.
        token: an access token or an API key. By default ``AIPLATFORM_TOKEN``, then the session of
            ``aiplatform login``. Only a session is renewed when it expires.
        project: the default project for operations that need one. By default
            ``AIPLATFORM_PROJECT``.
        timeout: seconds without a response after which a request fails.
        language: the language of the server's messages, ``en`` or ``zh``.
        credentials: the file that stores the sessions. By default ``AIPLATFORM_CREDENTIALS``, then
            a file in the user's configuration directory.
        transport: replaces the network in tests.

    Several threads may use the same client.
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
        address = find_address(url, self._store)
        super().__init__(
            Transport(address, timeout=timeout, language=language, transport=transport),
            project or os.environ.get("AIPLATFORM_PROJECT") or None,
        )
        self._use_kept_login(token or os.environ.get("AIPLATFORM_TOKEN"))

        self.projects = Projects(self)
        self.datasets = Datasets(self)
        self.estimates = Estimates(self)
        self.experiments = Experiments(self)
        self.runs = Runs(self)
        self.tasks = Tasks(self)
        self.external = ExternalRuns(self)
        self.metrics = Metrics(self)
        self.models = Models(self)
        self.deployments = Deployments(self)
        self.bin = Bin(self)
        self.scripts = Scripts(self)
        self.schedules = Schedules(self)
        self.sweeps = Sweeps(self)
        self.secrets = Secrets(self)
        self.views = Views(self)
        self.workers = Workers(self)
        self.users = Users(self)
        self.keys = Keys(self)
        self.roles = Roles(self)
        self.invitations = Invitations(self)
        self.account = Account(self)
        self.notifications = Notifications(self)
        self.webhooks = Webhooks(self)
        self.audit = Audit(self)

    @property
    def openai_url(self) -> str:
        """The address to use as ``base_url`` of the ``openai`` package."""
        return f"{self.url}/v1"

    @property
    def must_change_password(self) -> bool:
        """True if the password must be changed before anything else is allowed."""
        tokens = self.transport.tokens
        return isinstance(tokens, SessionTokens) and tokens.session.must_change_password

    def access_token(self) -> str:
        """Return a token for other programs, such as ``OpenAI(api_key=client.access_token)``.

        The token expires after a while; call this method again when it does.
        """
        return self.transport.tokens.current()

    def login(
        self, username: str, password: str, *, totp: str | None = None, remember: bool = False
    ) -> "Client":
        """Log in; with ``remember``, keep the session for later clients and the command line.

        Check :attr:`must_change_password` afterwards.

        Raises:
            Unauthenticated: if the username or password is wrong. With the error code
                ``auth.totp_required``, both are right, but a code from the authenticator app or a
                recovery code is also required.
        """
        form = {"grant_type": "password", "username": username, "password": password}
        if totp is not None:
            form["totp"] = totp
        try:
            answer = self.transport.request("POST", "auth/token", form=form, authenticated=False)
        except Unauthenticated as error:
            # Remove the hint to log in, because the caller is already doing that.
            error.hint = ""
            raise
        session = session_from(self.url, username, decoded(answer))
        if remember:
            with self._store.lock():
                self._store.write(session, make_current=True, home=home_at(self.url))
        self.transport.tokens = SessionTokens(
            session, self._refresh, self._store if remember else None
        )
        return self

    def login_sso(
        self, show: Callable[[str], None], *, remember: bool = False, timeout: float = 300.0
    ) -> "Client":
        """Log in through the server's single sign-on provider, with a browser on this machine.

        Args:
            show: called with the address to open, such as ``webbrowser.open``.
            remember: keep the session for later clients and the command line.
            timeout: seconds that the user has to sign in.

        Raises:
            ClientError: if the server has no single sign-on, or the user did not finish in time.
            Unauthenticated: if the server or the provider rejected the login.
        """
        offer = decoded(self.transport.request("GET", "auth/oidc", authenticated=False))
        if not offer["enabled"]:
            raise ClientError(tr("{url} has no single sign-on", url=self.url))
        code, verifier = browse(offer["login_url"], show, timeout=timeout)
        body = {"code": code, "code_verifier": verifier}
        answer = decoded(
            self.transport.request("POST", "auth/oidc/token", json=body, authenticated=False)
        )
        session = session_from(self.url, "", answer)
        self.transport.tokens = SessionTokens(session, self._refresh)
        session = replace(session, username=self.me().username)
        if remember:
            with self._store.lock():
                self._store.write(session, make_current=True, home=home_at(self.url))
        self.transport.tokens = SessionTokens(
            session, self._refresh, self._store if remember else None
        )
        return self

    def logout(self) -> None:
        """Log out: end the session on this machine and on the server."""
        try:
            self.transport.request("POST", "auth/logout")
        finally:
            with self._store.lock():
                self._store.remove(self.url)
            self._use_kept_login(None)

    def change_password(self, current: str, new: str) -> None:
        """Replace your password. Your other sessions end; this one continues."""
        body = {"current_password": current, "new_password": new}
        self.transport.request("PUT", "users/me/password", json=body)
        tokens = self.transport.tokens
        if isinstance(tokens, SessionTokens):
            tokens.password_changed()

    def me(self) -> User:
        """Return the account that is logged in."""
        return self.users.me()

    def health(self) -> dict[str, Any]:
        """Return the state of the server and of each of its parts; needs no login."""
        # An unhealthy server responds with 503 and the same document.
        response = self.transport.request(
            "GET", "health/details", authenticated=False, accept_errors=True
        )
        answer = decoded(response)
        if not isinstance(answer, dict):
            raise ClientError(tr("{url} is not an AI Platform server", url=self.url))
        return answer

    def licences(self) -> LicencesOut:
        """Return the name, version and licence of each package in the server and web interface."""
        return LicencesOut.read_answer(self.transport.get("licences"))

    def run(
        self,
        name: str,
        *,
        project: Project | UUID | str | None = None,
        experiment: Experiment | UUID | str | None = None,
        config: Mapping[str, Any] | None = None,
        mode: Literal["online", "offline"] = "online",
        directory: Path | str | None = None,
        raise_when_cancelled: bool = False,
        end_timeout: float = 60.0,
        capture_output: bool = False,
    ) -> ExternalRun:
        """Report a run that executes here, in a notebook or on a cluster, to the platform.

        For example::

            with client.run("baseline", project="demo", config={"lr": 1e-3}) as run:
                for step, batch in enumerate(batches):
                    run.log({"loss": train(batch)}, step=step)

        Everything that is logged is first written to files and then sent by a thread, so the
        training loop neither waits for the server nor fails when the server fails. The thread
        retries while the server is unreachable. Records that have not been sent by the end of the
        run can be sent later with ``aiplatform runs sync``; nothing is stored twice.

        Args:
            name: the name of the run.
            project: the project of the run; by default the client's.
            experiment: the experiment that the run belongs to.
            config: the hyper-parameters of the run.
            mode: ``offline`` sends nothing until ``aiplatform runs sync``.
            directory: the directory for the files; by default ``AIPLATFORM_RUNS``, else a directory
                in the user's data directory.
            raise_when_cancelled: make :meth:`ExternalRun.log` raise ``RunCancelled`` after the run
                was cancelled on the platform; :attr:`ExternalRun.cancelled` is set in any case.
            end_timeout: seconds to wait for the server when the run ends.
            capture_output: also write the output of the program to the run's log.

        Raises:
            ApiError: if the server rejects the run. An unreachable server is not an error: the run
                is sent once the server can be reached.
        """
        return self.external.begin(
            name,
            project=project,
            experiment=experiment,
            config=config,
            mode=mode,
            directory=directory,
            raise_when_cancelled=raise_when_cancelled,
            end_timeout=end_timeout,
            capture_output=capture_output,
        )

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connections."""
        self.close()

    def __repr__(self) -> str:
        """Return text without the token, because clients end up in logs and notebooks."""
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

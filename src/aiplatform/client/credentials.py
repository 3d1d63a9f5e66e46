"""Storage of login sessions: one file for all of a user's processes on a machine.

The file is written atomically, with mode 0600. Refresh tokens rotate, and the server ends a session
whose token is used twice. Therefore a process that refreshes a session first locks a file beside
this one and reads the session again.
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from aiplatform.client.errors import ClientError
from aiplatform.client.locks import file_lock
from aiplatform.language import tr

_LOCK_SECONDS = 30.0
_EARLY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Session:
    """A login session at one server.

    ``expires_at`` is when the access token expires, in seconds since the epoch.
    """

    url: str
    username: str
    access_token: str
    refresh_token: str
    expires_at: float
    must_change_password: bool = False

    def is_fresh(self) -> bool:
        """Return True if the access token is valid for a while longer, by this machine's clock."""
        return time.time() < self.expires_at - _EARLY_SECONDS

    def __repr__(self) -> str:
        """Return a text without the tokens, because sessions end up in logs and notebooks."""
        return f"Session(url={self.url!r}, username={self.username!r})"


def default_path() -> Path:
    """Return ``AIPLATFORM_CREDENTIALS``, or else a file in the user's configuration directory."""
    override = os.environ.get("AIPLATFORM_CREDENTIALS")
    if override:
        return Path(override).expanduser()
    return platformdirs.user_config_path("aiplatform", appauthor=False) / "credentials.json"


class CredentialStore:
    """The file of login sessions, keyed by server address, and the address of the last login."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def current(self) -> tuple[str | None, Path | None]:
        """Return the address of the last login, and its home if the server runs on this machine."""
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
        """Return uuid and name of the project that commands use with ``url``, or None.

        None means that no project is chosen.
        """
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

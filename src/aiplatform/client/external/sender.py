"""Brings a run's journal to the server: in a thread beside the run, or afterwards.

Nothing here ever raises into the user's loop. What can't be sent stays in the journal.
"""

import contextlib
import logging
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from aiplatform.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    NotFound,
    RateLimited,
    ServerUnavailable,
    UnexpectedAnswer,
)
from aiplatform.client.external.journal import LOG, POINTS, Journal, Reader
from aiplatform.client.transfers import body_of
from aiplatform.client.transport import back_off, decoded
from aiplatform.language import tr
from aiplatform.protocol.enums import TaskStatus

if TYPE_CHECKING:
    from aiplatform.client.client import Client

log = logging.getLogger("aiplatform.runs")
POINTS_AT_ONCE = 5_000
LINES_AT_ONCE = 2_000
BYTES_AT_ONCE = 1 << 20
GATHER_SECONDS = 0.5
"""For how long points gather before they are sent."""

HEARTBEAT_SECONDS = 15.0
SLOW_SECONDS = 30.0
"""The longest wait after failures that may pass."""


class Refused(ClientError):
    """The server will not take what is left, however often it is asked."""


class Accepted(BaseModel):
    """The server's answer to a piece of points or lines.

    ``taken`` is the number up to which the writer's records are stored.
    """

    model_config = ConfigDict(extra="ignore")

    taken: int
    dropped_bytes: int = 0


class Sender:
    """Sends one journal. Not safe between threads: one sends at a time."""

    def __init__(self, client: "Client", journal: Journal) -> None:
        self._client = client
        self._http = client.transport
        self.journal = journal
        self.points = Reader(journal.directory / POINTS)
        self.log = Reader(journal.directory / LOG)
        self.status: TaskStatus | None = None
        self.progress: float | None = None
        self._told_progress: float | None = None
        self._told_of_flood = False
        self.heard_at = 0.0

    def begin(self) -> None:
        """Let the server know of the run; it knows one by the name that the journal gave it.

        Raises:
            ApiError: when the server refuses or is away.
        """
        about = self.journal.about
        if about.get("task") is not None:
            return
        project = about.get("project")
        body = {
            "name": about["name"],
            "config": about["config"],
            "facts": about["facts"],
            "client_id": about["client_id"],
            "started_at": about["started_at"],
        }
        path = self._client.projects.path(project)
        if about.get("experiment") is not None:
            resolved = self._client.experiments.resolve(about["experiment"], project)
            body["experiment"] = str(resolved)
        answer = self._http.post(f"{path}/runs", body)
        self._take(answer)
        self.journal.note(task=answer["uuid"], project=answer["project"])

    def send(self) -> bool:
        """Send what there is, one piece of each kind. Returns whether there may be more.

        Raises:
            ApiError: when the server refuses or is away.
            Refused: when it will never take it.
        """
        self.begin()
        more = self._send(self.points, "metrics", "points", POINTS_AT_ONCE)
        more |= self._send(self.log, "logs", "lines", LINES_AT_ONCE)
        # Not before: a file may be large, and whoever watches wants the points.
        if not more:
            more = self._send_file()
        silent = time.monotonic() - self.heard_at >= HEARTBEAT_SECONDS
        if silent or self.progress != self._told_progress:
            self.beat()
        return more

    def beat(self) -> None:
        """Say that the run lives, and how far it is.

        Raises:
            ApiError: when the server refuses or is away.
        """
        progress = self.progress
        self._take(self._http.post(f"{self._path}/heartbeat", {"progress": progress}))
        self._told_progress = progress

    def end(self) -> None:
        """Say how the run ended, once everything else is sent.

        Raises:
            ApiError: when the server refuses or is away.
            ClientError: when it is not written how the run ended.
        """
        end = self.journal.end
        if end is None:
            raise ClientError(tr("it could not be written how the run ended"))
        try:
            self._take(self._http.post(f"{self._path}/end", end))
        except Conflict as error:
            # Somebody else has ended it; that stands.
            if error.code != "task_finished":
                raise

    @property
    def _path(self) -> str:
        return f"tasks/{self.journal.about['task']}"

    def _take(self, answer: Any) -> None:
        """Keep the status that every answer about a run carries.

        Raises:
            UnexpectedAnswer: when the answer has none.
        """
        try:
            self.status = TaskStatus(answer["status"])
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(
                tr("the server's answer about a run can't be read: {answer!r:.200}", answer=answer)
            ) from error
        self.heard_at = time.monotonic()

    def _send(self, reader: Reader, kind: str, name: str, limit: int) -> bool:
        lines = reader.read(lines=limit, size=BYTES_AT_ONCE)
        if not lines:
            return False
        writer = self.journal.about[f"{'points' if kind == 'metrics' else 'log'}_writer"]
        # The lines are JSON as the server wants it; reading them to write them again is idle.
        records = b",".join(line.rstrip(b"\n") for line in lines)
        head = f'{{"writer":"{writer}","first":{reader.number},"{name}":['.encode()
        try:
            response = self._http.request(
                "POST", f"{self._path}/{kind}", content=head + records + b"]}"
            )
        except Conflict as error:
            if error.code == "records_missing":
                reader.go_to(int(error.params["expected"]))
                return True
            if error.code == "task_finished":
                raise Refused(
                    tr("the run has ended on the server: {error}", error=error)
                ) from error
            raise
        answer = decoded(response)
        self._take(answer)
        try:
            accepted = Accepted.model_validate(answer)
        except ValidationError as error:
            raise UnexpectedAnswer(
                tr(
                    "the server's answer to the {name} of a run can't be read: {answer!r:.200}",
                    name=name,
                    answer=answer,
                )
            ) from error
        if accepted.dropped_bytes and not self._told_of_flood:
            self._told_of_flood = True
            log.warning("the run prints faster than its log may grow; the excess is dropped")
        if accepted.taken >= reader.number + len(lines):
            reader.go_to(accepted.taken + 1)  # sent before, by a process that died
        else:
            reader.skip(lines)
        return True

    def _send_file(self) -> bool:
        """Send one of the files that wait. Returns whether there was one."""
        files = self.journal.files
        found = next(files.pending(), None)
        if found is None:
            return False
        path, file, was = found
        try:
            body = body_of(file, lambda _done, _total: self._keep_alive())
            self._http.upload("PUT", f"{self._path}/artifacts/{quote(path)}", body)
        except ApiError as error:
            if isinstance(error, Conflict) and error.code == "task_finished":
                raise Refused(
                    tr("the run has ended on the server: {error}", error=error)
                ) from error
            if may_pass(error) or isinstance(error, NotFound):
                raise
            # The run goes on without this file.
            log.warning("%s is not taken: %s", files.refuse(path, file, was), error)
            return True
        except FileNotFoundError:
            if file.exists():
                raise
            return True  # another process has sent it
        files.sent(file, was)
        self.heard_at = time.monotonic()
        return True

    def _keep_alive(self) -> None:
        """An upload may take longer than a run may be silent."""
        if time.monotonic() - self.heard_at >= HEARTBEAT_SECONDS:
            self.heard_at = time.monotonic()
            # What is wrong is found out by whatever is sent next; the file goes on.
            with contextlib.suppress(ClientError):
                self.beat()


def may_pass(error: ClientError | OSError) -> bool:
    """Whether the same may succeed later by itself, or once somebody has signed in again.

    What the system refuses, for want of room or of descriptors, may.
    """
    if not isinstance(error, ClientError):
        return True
    if isinstance(error, ServerUnavailable | RateLimited | UnexpectedAnswer):
        return True
    if isinstance(error, NotFound | Refused) or not isinstance(error, ApiError):
        return False
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return True
    if isinstance(error, Conflict):
        return error.code in {"changed_meanwhile", "project_archived"}
    return error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class SendingThread:
    """A sender in a thread of its own, for as long as the run lasts."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.failure: Exception | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._done = threading.Event()
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="aiplatform-run", daemon=True)
        self._thread.start()

    @property
    def cancelled(self) -> bool:
        """Whether the platform has asked the run to stop."""
        return self.sender.status in {TaskStatus.CANCELLING, TaskStatus.CANCELLED}

    def close(self, timeout: float) -> bool:
        """Send the rest and the end. Returns whether all of it is there within ``timeout``."""
        self._closing.set()
        self._wake.set()
        self._done.wait(timeout)
        self._given_up = True
        self._wake.set()
        return self._done.is_set() and self.failure is None

    def _run(self) -> None:
        failures = 0
        while not self._given_up:
            try:
                closing = self._closing.is_set()
                if self.sender.send():
                    failures = 0
                    continue
                if closing:
                    self.sender.end()
                    self.failure = None
                    self._done.set()
                    return
                failures, self.failure = 0, None
                self._pause(GATHER_SECONDS)
            except (ClientError, OSError) as error:
                self.failure = error
                if not may_pass(error):
                    log.warning("the run is not reported any more: %s", error)
                    self._done.set()
                    return
                if failures == 0:
                    log.warning("the run is not reported for now: %s", error)
                failures += 1
                self._pause(min(SLOW_SECONDS, back_off(failures) if failures < 8 else SLOW_SECONDS))
            except Exception as error:
                # A mistake of ours must not end the thread without a word: whoever closes the run
                # would wait for it in vain. What is not sent stays in the journal.
                self.failure = error
                log.exception("the run is not reported any more")
                self._done.set()
                return

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        # Once it is set for closing, failures must still wait.
        if self._closing.is_set():
            self._wake.clear()

"""The sender of a run's journal. It works in a thread during the run, or afterwards.

No exception is raised in the user's training loop. Records that can't be sent remain in the
journal.
"""

import contextlib
import logging
import threading
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from aiplatform.client.base import Connection
from aiplatform.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    NotFound,
    RateLimited,
    ServerUnavailable,
    UnexpectedAnswer,
)
from aiplatform.client.experiments import Experiments
from aiplatform.client.external.journal import LOG, POINTS, Journal, Reader
from aiplatform.client.projects import Projects
from aiplatform.client.transfers import body_of
from aiplatform.client.transport import back_off, decoded
from aiplatform.language import tr
from aiplatform.protocol.enums import TaskStatus

log = logging.getLogger("aiplatform.runs")
POINTS_AT_ONCE = 5_000
LINES_AT_ONCE = 2_000
BYTES_AT_ONCE = 1 << 20
GATHER_SECONDS = 0.5
"""Seconds for which metric points are collected before they are sent."""

HEARTBEAT_SECONDS = 15.0
SLOW_SECONDS = 30.0
"""Longest pause, in seconds, between attempts after temporary failures."""


class Refused(ClientError):
    """The server permanently rejects the remaining records."""


class Accepted(BaseModel):
    """The server's response to a batch of points or lines.

    ``taken`` is the number of the last record that the server has stored for this writer.
    """

    model_config = ConfigDict(extra="ignore")

    taken: int
    dropped_bytes: int = 0


class Sender:
    """A sender of one journal; only one thread may use it."""

    def __init__(self, client: Connection, journal: Journal) -> None:
        self._client = client
        self._http = client.transport
        self.journal = journal
        self.points = Reader(journal.directory / POINTS)
        self.log = Reader(journal.directory / LOG)
        self.status: TaskStatus | None = None
        self.progress: float | None = None
        self._sent_progress: float | None = None
        self._warned_about_dropped_lines = False
        self.last_answer_at = 0.0

    def begin(self) -> None:
        """Register the run with the server, which identifies it by the journal's ``client_id``.

        Raises:
            ApiError: if the server rejects the request or can't be reached.
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
        path = Projects(self._client).path(project)
        if about.get("experiment") is not None:
            resolved = Experiments(self._client).resolve(about["experiment"], project)
            body["experiment"] = str(resolved)
        answer = self._http.post(f"{path}/runs", body)
        self._store_status(answer)
        self.journal.record_facts(task=answer["uuid"], project=answer["project"])

    def send(self) -> bool:
        """Send one batch of points, lines and files; return True if there may be more to send.

        Raises:
            ApiError: if the server rejects the request or can't be reached.
            Refused: if the server permanently rejects the records.
        """
        self.begin()
        more = self._send(self.points, "metrics", "points", POINTS_AT_ONCE)
        more |= self._send(self.log, "logs", "lines", LINES_AT_ONCE)
        # Files come last: they may be large, and users watching the run want to see its points.
        if not more:
            more = self._send_file()
        silent = time.monotonic() - self.last_answer_at >= HEARTBEAT_SECONDS
        if silent or self.progress != self._sent_progress:
            self.send_heartbeat()
        return more

    def send_heartbeat(self) -> None:
        """Send a heartbeat with the progress of the run.

        Raises:
            ApiError: if the server rejects the request or can't be reached.
        """
        progress = self.progress
        self._store_status(self._http.post(f"{self._path}/heartbeat", {"progress": progress}))
        self._sent_progress = progress

    def end(self) -> None:
        """Send the end of the run, after all its records were sent.

        Raises:
            ApiError: if the server rejects the request or can't be reached.
            ClientError: if the end of the run is not in the journal.
        """
        end = self.journal.end
        if end is None:
            raise ClientError(tr("the end of the run could not be recorded"))
        try:
            self._store_status(self._http.post(f"{self._path}/end", end))
        except Conflict as error:
            # If the run was already ended elsewhere, that end counts.
            if error.code != "task.finished":
                raise

    @property
    def _path(self) -> str:
        return f"tasks/{self.journal.about['task']}"

    def _store_status(self, answer: Any) -> None:
        """Store the status of the run, which every response contains.

        Raises:
            UnexpectedAnswer: if the response contains no status.
        """
        try:
            self.status = TaskStatus(answer["status"])
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(
                tr("the server's answer about a run can't be read: {answer!r:.200}", answer=answer)
            ) from error
        self.last_answer_at = time.monotonic()

    def _send(self, reader: Reader, kind: str, name: str, limit: int) -> bool:
        lines = reader.read(lines=limit, size=BYTES_AT_ONCE)
        if not lines:
            return False
        writer = self.journal.about[f"{'points' if kind == 'metrics' else 'log'}_writer"]
        # The lines are already JSON in the server's format, so they are sent without parsing.
        records = b",".join(line.rstrip(b"\n") for line in lines)
        head = f'{{"writer":"{writer}","first":{reader.number},"{name}":['.encode()
        try:
            response = self._http.request(
                "POST", f"{self._path}/{kind}", content=head + records + b"]}"
            )
        except Conflict as error:
            if error.code == "run.records_missing":
                reader.go_to(int(error.params["expected"]))
                return True
            if error.code == "task.finished":
                raise Refused(
                    tr("the run has ended on the server: {error}", error=error)
                ) from error
            raise
        answer = decoded(response)
        self._store_status(answer)
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
        if accepted.dropped_bytes and not self._warned_about_dropped_lines:
            self._warned_about_dropped_lines = True
            log.warning("the run prints faster than its log may grow; the excess is dropped")
        if accepted.taken >= reader.number + len(lines):
            reader.go_to(accepted.taken + 1)  # a process that died had sent them before
        else:
            reader.skip(lines)
        return True

    def _send_file(self) -> bool:
        """Send one of the files that are not uploaded yet; return True if there was one."""
        files = self.journal.files
        found = next(files.pending(), None)
        if found is None:
            return False
        path, file, was = found
        try:
            body = body_of(file, lambda _done, _total: self._keep_alive())
            self._http.upload("PUT", f"{self._path}/artifacts/{quote(path)}", body)
        except ApiError as error:
            if isinstance(error, Conflict) and error.code == "task.finished":
                raise Refused(
                    tr("the run has ended on the server: {error}", error=error)
                ) from error
            if is_temporary(error) or isinstance(error, NotFound):
                raise
            # Only this file is lost; the run continues.
            log.warning("the server refused the file %s: %s", files.refuse(path, file, was), error)
            return True
        except FileNotFoundError:
            if file.exists():
                raise
            return True  # another process has sent it
        files.sent(file, was)
        self.last_answer_at = time.monotonic()
        return True

    def _keep_alive(self) -> None:
        """Send a heartbeat if one is due.

        An upload may take longer than a run may go without a heartbeat.
        """
        if time.monotonic() - self.last_answer_at >= HEARTBEAT_SECONDS:
            self.last_answer_at = time.monotonic()
            # Ignore errors: the next request will report them, and the upload should continue.
            with contextlib.suppress(ClientError):
                self.send_heartbeat()


def is_temporary(error: ClientError | OSError) -> bool:
    """Return True if a retry may succeed, perhaps after the user has logged in again.

    Operating system errors, such as a full disk or too many open files, may also go away.
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
        return error.code in {"resource.changed_meanwhile", "project.archived"}
    return error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class SendingThread:
    """A thread that runs a sender for as long as the run lasts."""

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
        """True if the run was cancelled on the platform."""
        return self.sender.status in {TaskStatus.CANCELLING, TaskStatus.CANCELLED}

    def close(self, timeout: float) -> bool:
        """Send the remaining records and the end of the run.

        Returns:
            True if this succeeds within ``timeout`` seconds.
        """
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
                if not is_temporary(error):
                    log.warning("the run is not reported any more: %s", error)
                    self._done.set()
                    return
                if failures == 0:
                    log.warning("the run is not reported for now: %s", error)
                failures += 1
                self._pause(min(SLOW_SECONDS, back_off(failures) if failures < 8 else SLOW_SECONDS))
            except Exception as error:
                # An unexpected error must not end the thread silently: ``close`` would wait for it
                # in vain. Whatever has not been sent remains in the journal.
                self.failure = error
                log.exception("the run is not reported any more")
                self._done.set()
                return

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        # Reset the event, or retries after failures would not wait while the run is closing.
        if self._closing.is_set():
            self._wake.clear()

"""Supervises one attempt from claim to outcome, on a thread of the worker."""

import queue
import secrets
import shutil
import signal
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError

from aiplatform.data.blobs import hash_file
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import LogStream, TaskStatus, TaskType
from aiplatform.protocol.messages import (
    Cancel,
    Checkpoint,
    Event,
    Failure,
    Hello,
    Job,
    Metrics,
    Progress,
    Ready,
    Renew,
    Result,
    ServingAddress,
    Stopped,
)
from aiplatform.server.core import storage
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.tasks.errors import LostLease
from aiplatform.server.tasks.rules import LOG_TAIL_CHARACTERS
from aiplatform.server.tasks.runner import process as processes
from aiplatform.server.tasks.runner.process import Child, Item, Malformed, child_environment
from aiplatform.server.tasks.runner.telemetry import Usage
from aiplatform.server.tasks.service import attempts
from aiplatform.server.tasks.service.attempts import Chunk, Claim
from aiplatform.server.tasks.service.kinds import Outcome, kind_of

log = structlog.get_logger(__name__)
FLUSH_SECONDS = 0.2
POLL_SECONDS = 0.5
TAIL_SECONDS = 5.0
DATABASE_RETRY_SECONDS = 0.5


def run_attempt(claim: Claim) -> None:
    """Run a claimed task to its outcome. Returns when nothing of it runs here any more."""
    with structlog.contextvars.bound_contextvars(task=str(claim.task_uuid), attempt=claim.attempt):
        Attempt(claim, get_settings()).run()


class Attempt:
    """One attempt's state on this worker."""

    def __init__(self, claim: Claim, settings: Settings) -> None:
        self.claim = claim
        self.settings = settings
        self.directory = settings.work_dir / str(claim.task_uuid) / f"attempt-{claim.attempt}"
        self.child: Child | None = None
        self.usage = Usage(claim.gpu_indices)
        self.serving: ServingAddress | None = None
        self.lost = threading.Event()
        self.ended = threading.Event()
        self.ending: Result | Failure | Stopped | Malformed | None = None
        self.asked_to_stop = False
        self.cancelled = False
        self.seq = 0
        self.tail = ""
        self.tail_written = 0.0
        self.last_stderr: deque[str] = deque(maxlen=20)

    def run(self) -> None:
        """Everything in order; the lease is renewed beside it from the first moment."""
        renewer = threading.Thread(target=self._renew, daemon=True, name="renewer")
        renewer.start()
        try:
            self._run()
        except LostLease:
            log.warning("lease lost, the attempt's work is dropped")
        finally:
            self.ended.set()
            if self.child is not None:
                self.child.close()
            renewer.join(timeout=10)
            shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self) -> None:
        try:
            job = self._lay_out()
            self._start(job)
        except (OSError, Problem) as error:
            self._end(Outcome(TaskStatus.FAILED, error=f"The task could not be started: {error}"))
            return
        self._supervise()
        assert self.child is not None
        code = self.child.close()
        if self.lost.is_set():
            raise LostLease
        self._conclude(code)

    def _lay_out(self) -> Job:
        """The attempt's directory: inputs, the newest checkpoint, the job file."""
        shutil.rmtree(self.directory, ignore_errors=True)
        for name in ("inputs", "output", "checkpoints"):
            (self.directory / name).mkdir(parents=True)
        with transaction() as session:
            task = attempts.hold(session, self.claim)
            kind = kind_of(task.type)
            inputs = kind.inputs(session, task)
            spec: Any = task.config
            checkpoint = attempts.newest_checkpoint(session, task.id)
            saved = [] if checkpoint is None else storage.files_of(
                session, checkpoint_id=checkpoint.id
            )  # fmt: skip
            self.seq, self.tail = attempts.log_position(session, self.claim)
        paths: dict[str, str] = {}
        for role, file in inputs.single.items():
            target = self.directory / "inputs" / role / Path(file.path).name
            storage.fetch_tree([StoredFile(target.name, file.sha256, file.size)], target.parent)
            paths[role] = str(target)
        for role, files in inputs.trees.items():
            target = self.directory / "inputs" / role
            target.mkdir(exist_ok=True)
            storage.fetch_tree(files, target)
            paths[role] = str(target)
        resume_from = None
        if checkpoint is not None:
            resume_from = self.directory / "resume" / f"checkpoint-{checkpoint.step}"
            storage.fetch_tree(saved, resume_from)
        if kind.serves:
            self.serving = self._address()
        return Job(
            task=self.claim.task_uuid,
            attempt=self.claim.attempt,
            spec=spec,
            inputs=paths,
            output_dir=str(self.directory / "output"),
            checkpoint_dir=str(self.directory / "checkpoints"),
            resume_from=None if resume_from is None else str(resume_from),
            serving=self.serving,
        )

    def _address(self) -> ServingAddress:
        token = secrets.token_urlsafe(32)
        host = self.settings.advertise_host
        if host is not None:
            return ServingAddress(host=host, token=token)
        # A socket's path may have about 107 bytes, so it does not lie in the attempt's directory.
        directory = self.settings.home / "run"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{self.claim.task_id:x}-{self.claim.fence:x}.sock"
        return ServingAddress(socket=str(directory / name), token=token)

    def _start(self, job: Job) -> None:
        job_file = self.directory / "job.json"
        job_file.write_text(dumps(job), encoding="utf-8")
        imports = self.claim.task_type == TaskType.MODEL_IMPORT
        extra: dict[str, str] = {}
        if imports:
            extra["AIPLATFORM_HUB"] = self.settings.hub
            if self.settings.hub_endpoint is not None:
                extra["HF_ENDPOINT"] = self.settings.hub_endpoint
        environment = child_environment(
            self.directory, self.claim.gpu_indices, extra, network=imports
        )
        self.child = Child(job_file, self.directory, environment)
        (self.directory.parent / "launcher.pid").write_text(str(self.child.pid))
        self.child.say(Renew(seconds=self.settings.child_deadline_seconds))

    def _supervise(self) -> None:
        assert self.child is not None
        polled = 0.0
        while not self.child.finished and not self.lost.is_set():
            items = self._drain(self.child)
            now = time.monotonic()
            if items or now - polled >= POLL_SECONDS:
                self._take(items)
                polled = now
            if processes.stopping.is_set():
                self._ask_to_stop()
        if not self.lost.is_set():
            self._take([], final=True)

    @staticmethod
    def _drain(child: Child) -> list[Item]:
        """What arrived, gathered for a moment so that many small messages share a transaction."""
        items: list[Item] = []
        deadline = time.monotonic() + FLUSH_SECONDS
        while (wait := deadline - time.monotonic()) > 0 and len(items) < processes.QUEUE_ITEMS:
            try:
                items.append(child.items.get(timeout=wait))
            except queue.Empty:
                break
            if isinstance(items[-1], Hello | Ready | Checkpoint):
                break
        return items

    def _take(self, items: list[Item], *, final: bool = False) -> None:
        metrics: list[Metrics] = []
        chunks: list[Chunk] = []
        events: list[tuple[str, dict[str, Any]]] = []
        progress: Progress | None = None
        for item in items:
            match item:
                case Metrics():
                    metrics.append(item)
                case Chunk():
                    chunks.append(item)
                    if item.stream is LogStream.STDERR:
                        self.last_stderr.extend(item.text.splitlines())
                case Progress():
                    progress = item
                case Event():
                    events.append((item.name, item.data))
                case Hello():
                    events.append(("started", {"pid": item.pid, "protocol": item.protocol}))
                case Result() | Failure() | Stopped():
                    self.ending = self.ending or item
                case Malformed():
                    self._break_off(item)
                case Ready():
                    self._ready(item)
                case Checkpoint():
                    self._checkpoint(item)
        merged = _merge(chunks)
        for chunk in merged:
            self.tail = (self.tail + chunk.text)[-LOG_TAIL_CHARACTERS:]
        now = time.monotonic()
        write_tail = final or (bool(merged) and now - self.tail_written >= TAIL_SECONDS)
        status = self._write(
            lambda session: attempts.write_telemetry(
                session,
                self.claim,
                metrics=metrics,
                chunks=merged,
                first_seq=self.seq + 1,
                log_tail=self.tail if write_tail else None,
                progress=progress,
                events=events,
            )
        )
        self.seq += len(merged)
        if write_tail:
            self.tail_written = now
        if status is TaskStatus.CANCELLING:
            self.cancelled = True
            self._ask_to_stop()

    def _break_off(self, fault: Malformed) -> None:
        """End a child that does not keep to the protocol; nothing it says later counts."""
        assert self.child is not None
        self.ending = fault
        self.child.abandon()

    def _ask_to_stop(self) -> None:
        if not self.asked_to_stop and self.child is not None:
            self.asked_to_stop = True
            self.child.say(Cancel(grace_seconds=self.settings.cancel_grace_seconds))

    def _ready(self, message: Ready) -> None:
        assert self.serving is not None, "only serving kinds are ready"
        token = self.serving.token
        self._write(
            lambda session: attempts.set_ready(session, self.claim, message.endpoint, token)
        )

    def _checkpoint(self, message: Checkpoint) -> None:
        path = Path(message.path).resolve()
        if not path.is_relative_to((self.directory / "checkpoints").resolve()):
            self._break_off(Malformed(f"a checkpoint outside its directory: {message.path}"))
            return
        files = self._store(path, move=False)
        self._write(
            lambda session: attempts.add_checkpoint(session, self.claim, message.step, files)
        )

    def _store(self, directory: Path, *, move: bool) -> list[StoredFile]:
        """Put all files below ``directory`` into the blob store, each in its own transaction."""
        files: list[StoredFile] = []
        for path in sorted(directory.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            sha256, size = hash_file(path)
            self._write(
                lambda session, path=path, sha256=sha256, size=size: storage.keep(
                    session, path, sha256, size, move=move
                )
            )
            files.append(StoredFile(path.relative_to(directory).as_posix(), sha256, size))
        return files

    def _conclude(self, code: int) -> None:
        match self.ending:
            case Result(data=data):
                files = self._store(self.directory / "output", move=True)
                self._end(Outcome(TaskStatus.COMPLETED, result=data, files=files))
            case Stopped() if not self.cancelled and processes.stopping.is_set():
                self._write(lambda s: attempts.release(s, self.claim, "the worker was stopped"))
            case Failure(error=error, retryable=True) if not self.cancelled:
                self._write(lambda s: attempts.retry(s, self.claim, error))
            case Failure(error=error) if not self.cancelled:
                self._end(Outcome(TaskStatus.FAILED, error=error))
            case Malformed(reason=reason):
                error = f"The runtime broke the protocol: {reason}"
                self._end(Outcome(TaskStatus.FAILED, error=error))
            case _ if self.cancelled:
                self._end(Outcome(TaskStatus.CANCELLED))
            case _ if processes.stopping.is_set():
                self._write(lambda s: attempts.release(s, self.claim, "the worker was stopped"))
            case _:
                self._end(Outcome(TaskStatus.FAILED, error=self._death(code)))

    def _death(self, code: int) -> str:
        """What is known of a child that ended without a word."""
        number = -code if code < 0 else code - 128 if code > 128 else 0
        if number:
            try:
                how = f"was killed by {signal.Signals(number).name}"
            except ValueError:
                how = f"ended with exit code {code}"
            if number == signal.SIGKILL:
                how += " (perhaps the machine ran out of memory)"
        else:
            how = f"ended with exit code {code} and without a result"
        said = "\n".join(line for line in self.last_stderr if line.strip())[-2000:]
        return f"The runtime {how}." + (f" Its last words:\n{said}" if said else "")

    def _end(self, outcome: Outcome) -> None:
        usage = self.usage.summary()
        self._write(lambda s: attempts.end_attempt(s, self.claim, outcome, usage=usage))

    def _write(self, action: Any) -> Any:
        """Run ``action`` in a transaction; wait out a database that is away while we hold the task.

        Raises:
            LostLease: when the task moved on.
        """
        while True:
            try:
                with transaction() as session:
                    return action(session)
            except OperationalError as error:
                self._wait_for_database(error)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                self._wait_for_database(error)

    def _wait_for_database(self, error: DBAPIError) -> None:
        log.warning("database unavailable, holding on", error=str(error.orig).strip()[:200])
        if self.lost.wait(DATABASE_RETRY_SECONDS):
            raise LostLease from error

    def _renew(self) -> None:
        """Renew the lease and pass the new deadline on; sample what the child uses meanwhile.

        Without a renewal the child's launcher ends it at its deadline, before the lease can expire.
        """
        settings = self.settings
        due = time.monotonic() + settings.renew_seconds
        while not self.ended.wait(1.0):
            if self.child is not None:
                self.usage.sample(self.child.pid)
            if time.monotonic() < due:
                continue
            try:
                with transaction() as session:
                    attempts.renew(session, self.claim)
            except LostLease:
                self.lost.set()
                if self.child is not None:
                    self.child.abandon()
                return
            except DBAPIError as error:
                log.warning("renewal failed", error=str(error.orig).strip()[:200])
                continue
            due = time.monotonic() + settings.renew_seconds
            if self.child is not None:
                self.child.say(Renew(seconds=settings.child_deadline_seconds))


def _merge(chunks: list[Chunk]) -> list[Chunk]:
    """Join neighbouring chunks of one stream, so that a chatty child makes few rows."""
    merged: list[Chunk] = []
    for chunk in chunks:
        last = merged[-1] if merged else None
        if last is not None and last.stream is chunk.stream and len(last.text) < 64_000:
            last.text += chunk.text
        else:
            merged.append(chunk)
    return merged

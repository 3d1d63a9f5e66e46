"""Supervision and tracing of one attempt, from claim to outcome, in a thread of the worker."""

import queue
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.messages import (
    Cancel,
    Checkpoint,
    Drain,
    Event,
    Failure,
    Hello,
    Job,
    Metrics,
    Phase,
    Progress,
    Ready,
    Renew,
    Result,
    ServingAddress,
    Stopped,
)
from aiplatform.server.core import tracing
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.execution import rules
from aiplatform.server.execution.rules import Cores, Estimate, is_transient
from aiplatform.server.execution.runner import process as processes
from aiplatform.server.execution.runner.layout import (
    fetch_checkpoint,
    fetch_inputs,
    make_directory,
    mask_secrets,
    plan,
    serving_address,
    shared_by,
)
from aiplatform.server.execution.runner.node_group import NodeGroup
from aiplatform.server.execution.runner.process import (
    Child,
    Item,
    Malformed,
    child_environment,
    explain_exit,
    kill_leftovers,
)
from aiplatform.server.execution.runner.sampling import Watched, get_sampler
from aiplatform.server.execution.runner.spares import from_spare
from aiplatform.server.execution.runner.writers import AttemptWriter, LogWriter
from aiplatform.server.execution.service import attempts, fleet
from aiplatform.server.execution.service.attempts import Chunk, Claim
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.service.insertion import require_fitting_queue
from aiplatform.server.queue.service.kinds import Outcome, kind_of


@contextmanager
def attempt_span(claim: Claim) -> Iterator[None]:
    """Record the attempt as a span in the trace of the request that submitted the task.

    If the database is unreachable, the span has no parent, but the attempt still runs.
    """
    if not tracing.is_on():
        yield
        return
    origin = None
    try:
        with transaction() as session:
            origin = queries.origin_of(session, claim.task_id, claim.attempt)
    except DBAPIError as error:
        log.warning("the trace of the task's request is not known", error=str(error.orig)[:200])
    parent = None if origin is None else origin.traceparent
    if origin is not None:
        tracing.record("wait", origin.waited_from.timestamp(), time.time(), parent)
    attributes: dict[str, tracing.Attribute] = {
        "aiplatform.task": str(claim.task_uuid),
        "aiplatform.task.type": claim.task_type,
        "aiplatform.task.attempt": claim.attempt,
    }
    with tracing.span("attempt", "consumer", parent=parent, attributes=attributes):
        yield
        _record_outcome(claim)


def _record_outcome(claim: Claim) -> None:
    try:
        with transaction() as session:
            outcome, error = queries.outcome_of(session, claim.task_id, claim.attempt)
    except DBAPIError as away:
        log.warning("the outcome is not known to the trace", error=str(away.orig)[:200])
        return
    # None means that the attempt lost its lease, so another process records its outcome.
    tracing.describe(outcome=outcome or "lost")
    if outcome in {None, "failed", "lost"}:
        tracing.fail((error or "")[:500])


class Phases:
    """Trace spans of the runtime's phases; each ends when the next one begins."""

    def __init__(self) -> None:
        self._current: Any = None

    def begin(self, phase: Phase) -> None:
        """Begin the span of a phase, ending the previous one."""
        self.end(phase.time)
        self._current = tracing.begin(phase.name, phase.time)

    def end(self, at: float | None = None) -> None:
        """End the span of the current phase."""
        current, self._current = self._current, None
        tracing.end(current, time.time() if at is None else at)


log = structlog.get_logger(__name__)
FLUSH_SECONDS = 0.2
POLL_SECONDS = 0.5


def run_attempt(claim: Claim) -> None:
    """Run a claimed task until it ends. Afterwards, none of its processes runs on this machine."""
    with (
        structlog.contextvars.bound_contextvars(task=str(claim.task_uuid), attempt=claim.attempt),
        attempt_span(claim),
    ):
        Attempt(claim, get_settings()).run()


class Attempt:
    """One attempt on this worker, with its child process, files, log and outcome."""

    renew = staticmethod(attempts.renew)

    def __init__(self, claim: Claim, settings: Settings) -> None:
        self.claim = claim
        self.settings = settings
        self.child: Child | None = None
        self.watched: Watched | None = None
        self.serving: ServingAddress | None = None
        self.secrets: dict[str, str] = {}
        self.cores: Cores | None = None
        self.lost = threading.Event()
        self.write = AttemptWriter(self.lost)
        self.ended = threading.Event()
        self.ending: Result | Failure | Stopped | Malformed | None = None
        self.asked_to_stop = False
        self.draining = False
        self.cancelled = False
        self.pausing = False
        self.time_limit: int | None = None
        self.started = time.monotonic()
        self.too_long = False
        self.estimate = Estimate()
        self.phases = Phases()
        self.node_group = NodeGroup(self) if claim.nodes > 1 else None
        self.place_directory(str(claim.task_uuid))

    def place_directory(self, name: str) -> None:
        """Set the directory for the attempt's files, below the worker's own directory."""
        self.directory = self.settings.work_dir / name / f"attempt-{self.claim.attempt}"
        self.log_writer = LogWriter(self.directory, self.settings, self.write)

    def run(self) -> None:
        """Run the attempt. A second thread renews its lease from the very start."""
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
            if self.watched is not None:
                get_sampler().release(self.watched)
            renewer.join(timeout=10)
            shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self) -> None:
        try:
            # The task may have been queued before the settings reserved this queue for scripts.
            require_fitting_queue(self.claim.task_type, self.claim.queue)
            if self.node_group is not None and not self.node_group.gather():
                return
            job = self._lay_out()
            if self.node_group is not None:
                with_endpoint = self.node_group.rendezvous(job)
                if with_endpoint is None:
                    return
                job = with_endpoint
            self._start(job)
        except OSError as error:
            said = f"The task could not be started: {error}"
            if is_transient(error):
                self.write(lambda s: attempts.retry(s, self.claim, said))
            else:
                self._end(Outcome(TaskStatus.FAILED, error=said))
            return
        except Problem as error:
            self._end(Outcome(TaskStatus.FAILED, error=f"The task could not be started: {error}"))
            return
        self._supervise()
        assert self.child is not None
        code = self.child.close()
        self.check_leftovers()
        if self.lost.is_set():
            raise LostLease
        # Ending the attempt adds up its usage, so the last samples must be stored before that.
        if self.watched is not None:
            get_sampler().release(self.watched)
        self._conclude(code)

    def _lay_out(self) -> Job:
        """Fill the attempt's directory with inputs and the newest checkpoint; return the job."""
        make_directory(self.directory)
        with transaction() as session:
            found = plan(session, self.claim)
        self.secrets, self.time_limit = found.secrets, found.time_limit
        self.cores = found.cores
        self.log_writer.seq, self.log_writer.tail = found.seq, found.tail
        if self.claim.node == 0:
            self.watched = get_sampler().watch(self.claim, found.memory_mb)
        spec: Any = found.spec
        paths = fetch_inputs(found, self.directory)
        resume_from = fetch_checkpoint(found, self.directory)
        if found.serves:
            self.serving = serving_address(self.claim, self.settings)
        return Job(
            task=self.claim.task_uuid,
            attempt=self.claim.attempt,
            spec=spec,
            inputs=paths,
            labels=found.labels,
            output_dir=str(self.directory / "output"),
            checkpoint_dir=str(self.directory / "checkpoints"),
            resume_from=resume_from,
            serving=self.serving,
            prefix=self._prefix(spec),
            isolation_required=not self.settings.scripts_without_isolation,
            ranks=shared_by(spec, self.claim, self.settings),
            traceparent=tracing.traceparent() if self.claim.node == 0 else None,
            cache_dir=str(self.settings.cache_dir),
            llama_server=None
            if self.settings.llama_server is None
            else str(self.settings.llama_server),
        )

    def _prefix(self, spec: dict[str, Any]) -> str | None:
        """Return the directory of a script's Python environment, or None for the worker's own."""
        found = self.settings.script_environments.get(spec.get("environment", ""))
        return None if found is None else str(found)

    def _start(self, job: Job) -> None:
        job_file = self.directory / "job.json"
        job_file.write_text(dumps(job), encoding="utf-8")
        downloads = kind_of(self.claim.task_type).downloads
        told = processes.import_environment(self.settings) if downloads else {}
        serves, divides = job.serving is not None, job.ranks is not None
        if self.cores is not None:
            told |= rules.cpu_environment(self.cores, serves=serves, divides=divides)
        extra = {**told, **self.secrets}
        devices, deadline = self.claim.devices, self.settings.child_deadline_seconds
        environment = child_environment(self.directory, devices, extra, network=downloads)
        self.child = from_spare(job, job_file, devices, environment, deadline)
        if self.child is None:
            self.child = Child(job_file, self.directory, environment)
        self.started = time.monotonic()
        if self.watched is not None:
            self.watched.pid = self.child.pid
        processes.record(self.directory.parent, self.child)
        self.child.send(Renew(seconds=deadline))

    def _supervise(self) -> None:
        assert self.child is not None
        polled = 0.0
        while not self.child.finished and not self.lost.is_set():
            items = [mask_secrets(item, self.secrets) for item in self._drain(self.child)]
            now = time.monotonic()
            if items or now - polled >= POLL_SECONDS:
                self._take(items)
                polled = now
            if self.time_limit is not None and now - self.started > self.time_limit:
                self.too_long = True
            if processes.stopping.is_set() or self.too_long:
                self.ask_to_stop()
        self.phases.end()
        if not self.lost.is_set():
            self._take([], final=True)

    @staticmethod
    def _drain(child: Child) -> list[Item]:
        """Return the messages that arrive within ``FLUSH_SECONDS``.

        Collecting them lets many small messages be stored in one transaction.
        """
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
        checkpoint: Checkpoint | None = None
        for item in items:
            match item:
                case Metrics():
                    metrics.append(item)
                case Chunk():
                    chunks.append(item)
                case Progress():
                    progress = item
                case Event():
                    events.append((item.name, item.data))
                case Hello():
                    events.append(("started", self._started(item)))
                case Phase():
                    self.phases.begin(item)
                case Result() | Failure() | Stopped():
                    self.ending = self.ending or item
                case Malformed():
                    self._break_off(item)
                case Ready():
                    self._ready(item)
                case Checkpoint():
                    checkpoint = item
        progress = None if progress is None else self._estimated(progress)
        kept = self.log_writer.take(chunks, events, final=final)
        tail = self.log_writer.due_tail(kept, final=final) if self.claim.node == 0 else None
        status = self.write(
            lambda session: attempts.write_telemetry(
                session,
                self.claim,
                metrics=metrics,
                chunks=kept,
                first_seq=self.log_writer.seq + 1,
                log_tail=tail,
                progress=progress,
                events=events,
            )
        )
        self.log_writer.written(kept, tail)
        # Only now, because an attempt that resumes from the checkpoint repeats none of the steps
        # before it: their metrics would be missing if the worker were killed in between.
        if checkpoint is not None:
            self._checkpoint(checkpoint)
        if status is TaskStatus.CANCELLING:
            self.cancelled = True
            if not self._completes_answers():
                self.ask_to_stop()
        elif status is TaskStatus.PAUSED:
            self.pausing = True
            self.ask_to_stop()
        if self.node_group is not None and not final:
            self.node_group.watch()

    def _started(self, hello: Hello) -> dict[str, Any]:
        node = {"node": self.claim.node} if self.claim.nodes > 1 else {}
        warm = {"warm": True} if self.child is not None and self.child.is_spare else {}
        return {"pid": hello.pid, "protocol": hello.protocol, **node, **warm}

    def _estimated(self, progress: Progress) -> Progress:
        """Return the runtime's report with the remaining seconds as estimated from past progress.

        Until enough progress has been made for that, the runtime's own estimate is kept.
        """
        self.estimate.add(time.monotonic(), progress.value)
        left = self.estimate.seconds_left()
        if left is None:
            return progress
        return progress.model_copy(update={"seconds_left": round(left, 1)})

    def _break_off(self, fault: Malformed) -> None:
        """Stop the child because it violated the protocol; its later messages are ignored."""
        assert self.child is not None
        self.ending = fault
        self.child.abandon()

    def ask_to_stop(self) -> None:
        """Ask the child to stop within its grace period. Further calls have no effect."""
        if not self.asked_to_stop and self.child is not None:
            self.asked_to_stop = True
            self.child.send(Cancel(grace_seconds=self.settings.cancel_grace_seconds))

    def _completes_answers(self) -> bool:
        """Return True if a cancelled server may finish the responses in progress."""
        kind = kind_of(self.claim.task_type)
        if not kind.serves or self.asked_to_stop or self.child is None:
            return False
        left = self.write(lambda s: kind.drain_seconds(s, self.claim.task_id))
        if not left:
            return False
        if not self.draining:
            self.draining = True
            self.child.send(Drain())
        return True

    def _ready(self, message: Ready) -> None:
        assert self.serving is not None, "only serving kinds are ready"
        token = self.serving.token
        self.write(lambda session: attempts.set_ready(session, self.claim, message.endpoint, token))

    def _checkpoint(self, message: Checkpoint) -> None:
        path = Path(message.path).resolve()
        if not path.is_relative_to((self.directory / "checkpoints").resolve()):
            self._break_off(Malformed(f"a checkpoint outside its directory: {message.path}"))
            return
        files = self.write.store_tree(path, move=False)
        self.write(
            lambda session: attempts.add_checkpoint(session, self.claim, message.step, files)
        )

    def check_leftovers(self) -> None:
        """Fail the task and cordon the worker if some of the task's processes can't be killed."""
        left = kill_leftovers(self.directory)
        if not left:
            return
        log.error("processes of the task can't be ended, the worker is cordoned", processes=left)
        self.write(lambda s: fleet.cordon_for_leftovers(s, self.claim, left))
        listed = ", ".join(map(str, left))
        self.ending = Failure(
            error=f"Processes of the task can't be ended: {listed}. Its worker accepts no more "
            "tasks until an administrator ends them and resumes the worker."
        )
        self.cancelled = self.pausing = self.too_long = False

    def _conclude(self, code: int) -> None:
        if self.node_group is not None and self.node_group.conclude():
            return
        match self.ending:
            case Result(data=data):
                self._complete(data)
            case Stopped() | None if self.too_long and not self.cancelled:
                error = f"It ran longer than its time limit of {self.time_limit} s."
                self._end(Outcome(TaskStatus.FAILED, error=error))
            # A child that does not stop within its grace period is killed. The task resumes from
            # its last checkpoint.
            case Stopped() | None if self.pausing and not self.cancelled:
                self.write(lambda s: attempts.pause(s, self.claim))
            case Stopped() if not self.cancelled and processes.stopping.is_set():
                self.write(lambda s: attempts.release(s, self.claim, "the worker was stopped"))
            case Failure(error=error, retryable=True) if not self.cancelled:
                self.write(lambda s: attempts.retry(s, self.claim, error))
            case Failure(error=error) if not self.cancelled:
                self._end(Outcome(TaskStatus.FAILED, error=error))
            case Malformed(reason=reason):
                error = f"The runtime broke the protocol: {reason}"
                self._end(Outcome(TaskStatus.FAILED, error=error))
            case _ if self.cancelled:
                self._end(Outcome(TaskStatus.CANCELLED))
            case _ if processes.stopping.is_set():
                self.write(lambda s: attempts.release(s, self.claim, "the worker was stopped"))
            case _:
                self._end(
                    Outcome(
                        TaskStatus.FAILED, error=explain_exit(code, self.log_writer.last_stderr)
                    )
                )

    def _complete(self, result: dict[str, Any]) -> None:
        output = self.directory / "output"
        try:
            kind = kind_of(self.claim.task_type)
            stored = kind.store_output(self.write, self.claim.task_uuid, output, result)
            files = [] if stored is not None else self.write.store_tree(output, move=True)
            self._end(
                Outcome(TaskStatus.COMPLETED, result=result, files=files, stored_output=stored)
            )
        except Problem as refused:
            # The result could not be stored: its name was taken in the meantime, or a quota is used
            # up.
            self._end(Outcome(TaskStatus.FAILED, error=str(refused)))

    def _end(self, outcome: Outcome) -> None:
        self.write(lambda s: attempts.end_attempt(s, self.claim, outcome))

    def _renew(self) -> None:
        """Renew the lease and tell the child its new deadline.

        If the lease is not renewed, the launcher stops the child at its deadline, which is before
        the lease can expire.
        """
        settings = self.settings
        due = time.monotonic() + settings.renew_seconds
        while not self.ended.wait(1.0):
            if time.monotonic() < due:
                continue
            try:
                with transaction() as session:
                    self.renew(session, self.claim)
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
                self.child.send(Renew(seconds=settings.child_deadline_seconds))

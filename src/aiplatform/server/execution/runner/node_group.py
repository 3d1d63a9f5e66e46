"""Node 0's part in a multi-node attempt: gather the nodes, watch them, and end the attempt."""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.messages import Failure, Job, Result, Stopped
from aiplatform.server.execution.runner import process as processes
from aiplatform.server.execution.runner.layout import free_port, host_port, node_address
from aiplatform.server.execution.service import attempts, nodes
from aiplatform.server.execution.service.nodes import Member, View
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.service.kinds import Outcome

if TYPE_CHECKING:
    from aiplatform.server.execution.runner.attempt import Attempt

log = structlog.get_logger(__name__)
POLL_SECONDS = 0.5
CAUSE_SECONDS = 10.0
"""Seconds for which node 0 waits for the other nodes at the end of an attempt.

If node 0's job has completed, node 0 waits for the others to complete. If the job failed only
because it lost contact with another node, node 0 waits for another node to report the actual cause.
"""


class NodeGroup:
    """The nodes of one attempt, managed by node 0."""

    def __init__(self, attempt: "Attempt") -> None:
        self.attempt = attempt
        self.failure: Member | None = None
        self.failed_at = 0.0
        self.leaving: str | None = None

    def gather(self) -> bool:
        """Wait until all nodes have joined. Return False if the attempt ended first.

        If nodes are still missing after ``gather_seconds``, the attempt releases its resources and
        the task is requeued with a random delay. Otherwise two tasks that each hold half of their
        nodes would wait for each other forever.
        """
        deadline = time.monotonic() + self.attempt.settings.gather_seconds
        while True:
            view = self._read_view()
            if self._end_early(view):
                return False
            if view.complete and self._write(lambda s: nodes.end_gathering(s, self.attempt.claim)):
                return True
            if time.monotonic() >= deadline:
                self._give_back(view.gathered)
                return False
            self._pause()

    def _give_back(self, gathered: int) -> None:
        settings, claim = self.attempt.settings, self.attempt.claim
        wait = settings.gather_retry_seconds * random.uniform(0.5, 1.5)  # noqa: S311
        self._write(
            lambda s: nodes.give_back(s, claim, gathered, settings.gather_seconds, wait=wait)
        )

    def rendezvous(self, job: Job) -> Job | None:
        """Wait until all nodes are ready; return the job with the address where they connect.

        Return None if the attempt ended first.
        """
        while True:
            view = self._read_view()
            if self._end_early(view):
                return None
            if view.complete and all(member.state == "ready" for member in view.members):
                break
            self._pause()
        assert job.ranks is not None
        address = node_address(self.attempt.settings)
        endpoint = host_port(address, free_port(address))
        self._write(lambda s: nodes.set_rendezvous(s, self.attempt.claim, endpoint))
        return job.model_copy(update={"ranks": job.ranks.model_copy(update={"endpoint": endpoint})})

    def watch(self) -> None:
        """Read the states of the other nodes; stop this node's child if a node leaves or fails."""
        self._note_states(self._read_view())
        child = self.attempt.child
        if self.leaving is not None:
            self.attempt.ask_to_stop()
        if self.failure is None or child is None:
            return
        # A node that failed because it lost contact may have lost contact with this node. In that
        # case, this node's own child soon reports the cause.
        lost_us = self.failure.report is not None and self.failure.report["retryable"]
        if not lost_us or time.monotonic() - self.failed_at > CAUSE_SECONDS:
            child.abandon()

    def conclude(self) -> bool:
        """End the attempt and return True if another node is the cause; otherwise return False."""
        attempt = self.attempt
        if isinstance(attempt.ending, Result):
            self._wait_for_others()
            return False
        if attempt.cancelled or attempt.pausing or attempt.too_long:
            return False
        if isinstance(attempt.ending, Failure):
            if not attempt.ending.retryable:
                return False
            self._wait_for_cause()
        if self.leaving is not None:
            reason = f"the worker {self.leaving}, one of its nodes, was stopped"
            self._write(lambda s: attempts.release(s, attempt.claim, reason))
            return True
        if self.failure is not None:
            self._end_for(self.failure)
            return True
        if isinstance(attempt.ending, Stopped) and not processes.stopping.is_set():
            self._write(lambda s: attempts.release(s, attempt.claim, "one of its nodes stopped"))
            return True
        return False

    def _wait_for_others(self) -> None:
        """Wait until the other nodes have left the attempt, after this node's job has completed."""
        deadline = time.monotonic() + CAUSE_SECONDS
        while time.monotonic() < deadline and self._read_view().members:
            self._pause()

    def _wait_for_cause(self) -> None:
        deadline = time.monotonic() + CAUSE_SECONDS
        while time.monotonic() < deadline and self.leaving is None:
            view = self._read_view()
            self._note_states(view)
            knows = self.failure is not None and not (self.failure.report or {})["retryable"]
            if knows or all(member.state == "failed" for member in view.members):
                return
            self._pause()

    def _note_states(self, view: View) -> None:
        for member in view.members:
            if member.state == "leaving":
                self.leaving = member.worker
            if member.state == "failed" and member.report is not None:
                if self.failure is None:
                    self.failed_at = time.monotonic()
                if self.failure is None or not member.report["retryable"]:
                    self.failure = member

    def _end_early(self, view: View) -> bool:
        """End the attempt if it must end before the job has started; return True if so."""
        claim = self.attempt.claim
        self._note_states(view)
        if view.wanted is TaskStatus.CANCELLING:
            self._write(lambda s: attempts.end_attempt(s, claim, Outcome(TaskStatus.CANCELLED)))
        elif view.wanted is TaskStatus.PAUSED:
            self._write(lambda s: attempts.pause(s, claim))
        elif processes.stopping.is_set():
            self._write(lambda s: attempts.release(s, claim, "the worker was stopped"))
        elif self.leaving is not None:
            reason = f"the worker {self.leaving}, one of its nodes, was stopped"
            self._write(lambda s: attempts.release(s, claim, reason))
        elif self.failure is not None:
            self._end_for(self.failure)
        else:
            return False
        return True

    def _end_for(self, failure: Member) -> None:
        report = failure.report or {}
        error = f"Node {failure.node} ({failure.worker}): {report['error']}"
        claim = self.attempt.claim
        if report["retryable"]:
            self._write(lambda s: attempts.retry(s, claim, error))
        else:
            self._write(
                lambda s: attempts.end_attempt(s, claim, Outcome(TaskStatus.FAILED, error=error))
            )

    def _read_view(self) -> View:
        view: View = self._write(lambda s: nodes.read_view(s, self.attempt.claim))
        return view

    def _write(self, action: Callable[[Session], Any]) -> Any:
        return self.attempt.write(action)

    def _pause(self) -> None:
        if self.attempt.lost.wait(POLL_SECONDS):
            raise LostLease

"""Execution of a node other than node 0, which runs its ranks and reports how they ended.

The node reads the state of the attempt from the database. When the attempt ends, the node's row is
deleted, and the node stops its child process in the same way as after losing a lease.
"""

from dataclasses import replace

import structlog

from aiplatform.protocol.messages import Failure, Result, Stopped
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.execution.rules import is_transient
from aiplatform.server.execution.runner import process as processes
from aiplatform.server.execution.runner.attempt import Attempt
from aiplatform.server.execution.runner.node_group import POLL_SECONDS
from aiplatform.server.execution.runner.process import Item, Malformed, explain_exit
from aiplatform.server.execution.service import nodes
from aiplatform.server.execution.service.attempts import Chunk, Claim
from aiplatform.server.execution.service.nodes import View
from aiplatform.server.queue.errors import LostLease

log = structlog.get_logger(__name__)


def run_node(claim: Claim) -> None:
    """Run a node of an attempt whose lease another worker holds, until the node or attempt ends."""
    with structlog.contextvars.bound_contextvars(
        task=str(claim.task_uuid), attempt=claim.attempt, node=claim.node
    ):
        NodeAttempt(claim, get_settings()).run()


class NodeAttempt(Attempt):
    """The part of an attempt that a node other than node 0 runs."""

    renew = staticmethod(nodes.renew)

    def __init__(self, claim: Claim, settings: Settings) -> None:
        super().__init__(claim, settings)
        self.node_group = None
        self.place_directory(f"{claim.task_uuid}-node{claim.node}")

    def _run(self) -> None:
        if self._wait_until("gathered", "running") is None:
            self.write(lambda s: nodes.leave(s, self.claim))
            return
        try:
            job = self._lay_out()
            # Node 0 enforces the time limit. If this node also enforced it, the attempt could end
            # without the time limit being recorded as the reason.
            self.time_limit = None
            self.write(lambda s: nodes.set_state(s, self.claim, "ready"))
            view = self._wait_until("running")
            if view is None:
                self._announce_leaving()
                return
            assert job.ranks is not None
            ranks = job.ranks.model_copy(update={"endpoint": view.endpoint})
            self._start(job.model_copy(update={"ranks": ranks}))
        except OSError as error:
            self._report_failure(
                f"The task could not be started: {error}", retryable=is_transient(error)
            )
            return
        except Problem as error:
            self._report_failure(f"The task could not be started: {error}", retryable=False)
            return
        self._supervise()
        assert self.child is not None
        code = self.child.close()
        self.check_leftovers()
        if self.lost.is_set():
            raise LostLease
        self._conclude(code)

    def _wait_until(self, *states: str) -> View | None:
        """Wait for the node group to reach one of the states; return None if this worker stops."""
        while not processes.stopping.is_set():
            view: View = self.write(lambda s: nodes.read_view(s, self.claim))
            if view.state in states:
                return view
            if self.lost.wait(POLL_SECONDS):
                raise LostLease
        return None

    def _take(self, items: list[Item], *, final: bool = False) -> None:
        super()._take([self._labelled(item) for item in items], final=final)

    def _labelled(self, item: Item) -> Item:
        """Prefix the log lines with the node's number. Lines of node 0 have no prefix."""
        if not isinstance(item, Chunk):
            return item
        lines = item.text.splitlines(keepends=True)
        return replace(item, text="".join(f"[node {self.claim.node}] {line}" for line in lines))

    def ask_to_stop(self) -> None:
        """Ask the child to stop. If this worker is stopping, also tell node 0."""
        if not self.asked_to_stop and processes.stopping.is_set():
            self.write(lambda s: nodes.set_state(s, self.claim, "leaving"))
        super().ask_to_stop()

    def _conclude(self, code: int) -> None:
        match self.ending:
            case Failure(error=error, retryable=retryable):
                self._report_failure(error, retryable=retryable)
            case Malformed(reason=reason):
                self._report_failure(f"The runtime broke the protocol: {reason}", retryable=False)
            case _ if processes.stopping.is_set():
                self._announce_leaving()
            case Result() | Stopped():
                self.write(lambda s: nodes.leave(s, self.claim))
            case _ if self.cancelled or self.pausing:
                self.write(lambda s: nodes.leave(s, self.claim))
            case _:
                self._report_failure(
                    explain_exit(code, self.log_writer.last_stderr), retryable=False
                )

    def _announce_leaving(self) -> None:
        """Tell node 0 that this worker is stopping, and wait for the attempt to end.

        The wait is limited to the grace period.
        """
        self.write(lambda s: nodes.set_state(s, self.claim, "leaving"))
        self.lost.wait(self.settings.cancel_grace_seconds)

    def _report_failure(self, error: str, *, retryable: bool) -> None:
        report = {"error": error, "retryable": retryable}
        self.write(lambda s: nodes.set_state(s, self.claim, "failed", report))

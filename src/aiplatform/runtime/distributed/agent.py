"""The agent of a node, which starts the node's ranks (processes) and forwards their messages.

The agent starts the ranks with torchrun. Rank 0 sends its messages through a named pipe, because
torchrun does not pass on file descriptors. The agent forwards these messages unchanged, except for
the outcome, which it holds back until all ranks have exited. If another rank fails, torchrun stops
rank 0, which then reports only that it was stopped. The agent reports the failure instead.
"""

import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job, Ranks
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.distributed.rank import AGENT_PID, ERROR, LOST_CONTACT_MESSAGE, NODE_ADDRESS
from aiplatform.runtime.stop import JobStopped

OUTCOMES = {"result", "failure", "stopped"}
RENDEZVOUS_SECONDS = 300
"""Seconds for which a node waits for the others, which were all ready when the ranks started."""


def run_ranks(job_file: str, job: Job, ranks: Ranks, report: Reporter) -> int:
    """Run this node's ranks until they exit, report the outcome, and return the exit code.

    Raises:
        JobStopped: A stop was requested and rank 0 reported no outcome.
    """
    directory = Path(job_file).parent
    pipe = directory / "rank0.pipe"
    relay = None
    if ranks.node == 0:
        relay = Relay(pipe, report)
    try:
        failure = _launch(job_file, pipe, job, ranks)
    except JobStopped:
        # All ranks have been stopped. The outcome that rank 0 reported counts.
        failure = None
        report.stop.requested = True
    finally:
        outcome = None if relay is None else relay.finish()
        pipe.unlink(missing_ok=True)
    if failure is not None:
        report.stop.mark_stopping()
        error, retryable = explain(directory, failure)
        report.failure(error, retryable=retryable)
        return 1
    report.stop.mark_stopping()
    if outcome is not None:
        report.forward(outcome)
        report.outcome_sent = True
        return 0
    if report.stop.requested:
        raise JobStopped
    if ranks.node == 0:
        report.failure("Rank 0 ended without a result.")
        return 1
    # Only node 0 has a result; the agents of other nodes just report that nothing failed.
    report.result({})
    return 0


def _launch(job_file: str, pipe: Path, job: Job, ranks: Ranks) -> Any:
    """Start the ranks and wait for them. Return torchrun's error if ranks failed, otherwise None.

    Raises:
        JobStopped: This process received a SIGTERM.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    cores = max(1, round(job.spec.resources.cpus)) // ranks.processes
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores)))
    os.environ[AGENT_PID] = str(os.getpid())
    address = ranks.address or "127.0.0.1"
    os.environ[NODE_ADDRESS] = address
    options: dict[str, Any] = {"rdzv_backend": "c10d", "rdzv_endpoint": f"{address}:0"}
    if ranks.endpoint is not None:
        options = {
            "rdzv_backend": "static",
            "rdzv_endpoint": ranks.endpoint,
            "rdzv_configs": {"rank": ranks.node, "timeout": RENDEZVOUS_SECONDS},
        }
    config = LaunchConfig(
        min_nodes=ranks.nodes,
        max_nodes=ranks.nodes,
        nproc_per_node=ranks.processes,
        run_id=f"{job.task}-{job.attempt}",
        max_restarts=0,
        monitor_interval=0.2,
        local_addr=address,
        signals_to_handle="SIGTERM",
        **options,
    )
    # Set as a variable, because the oldest supported torch has no parameter for it.
    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(max(1, int(ranks.grace_seconds)))
    arguments = ["-m", "aiplatform.runtime.distributed.rank", job_file, str(pipe)]
    try:
        elastic_launch(config, sys.executable)(*arguments)
    except ChildFailedError as error:
        return error
    except SignalException as signal:
        raise JobStopped from signal
    return None


class Relay:
    """A thread that forwards the messages of rank 0, except for its outcome."""

    def __init__(self, pipe: Path, report: Reporter) -> None:
        os.mkfifo(pipe, 0o600)
        # Opened for reading and writing, so that the pipe has a writer before rank 0 opens it and
        # never signals end of file.
        self._fd = os.open(pipe, os.O_RDWR)
        self._end, self._ended = os.pipe()
        self.report = report
        self.outcome: bytes | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="relay")
        self._thread.start()

    def finish(self) -> bytes | None:
        """Forward the remaining messages after rank 0 has exited, and return its outcome.

        The result is None if rank 0 sent no outcome.
        """
        os.write(self._ended, b"!")
        self._thread.join()
        for fd in (self._fd, self._end, self._ended):
            os.close(fd)
        return self.outcome

    def _run(self) -> None:
        import select

        rest = b""
        while True:
            readable, _, _ = select.select([self._fd, self._end], [], [])
            if self._fd not in readable:
                return
            *lines, rest = (rest + os.read(self._fd, 1 << 16)).split(b"\n")
            for line in lines:
                self._handle_line(line + b"\n")

    def _handle_line(self, line: bytes) -> None:
        kind = None
        with contextlib.suppress(ValueError, KeyError, TypeError):
            kind = json.loads(line)["type"]
        if kind in OUTCOMES:
            self.outcome = self.outcome or line
        else:
            self.report.forward(line)


def explain(directory: Path, failed: Any) -> tuple[str, bool]:
    """Return the cause of a failure as a sentence, and whether a retry may help.

    If several ranks failed, the first one that raised an error is used. A rank that only lost
    contact with the others, or that torchrun stopped because of them, doesn't know the cause.

    Args:
        directory: Directory to which failed ranks have written their errors.
        failed: torchrun's ``ChildFailedError``.
    """
    said: dict[int, dict[str, Any]] = {}
    for rank in failed.failures:
        with contextlib.suppress(OSError, ValueError):
            said[rank] = json.loads((directory / ERROR.format(rank)).read_text(encoding="utf-8"))
    own = {rank: error for rank, error in said.items() if not error["lost"]}
    if own:
        rank = min(own, key=lambda rank: own[rank]["time"])
        error = own[rank]
        return _with_rank(rank, error["error"]), bool(error["retryable"])
    silent = {rank: death for rank, death in failed.failures.items() if rank not in said}
    if silent:
        rank = min(silent, key=lambda rank: silent[rank].timestamp)
        return _describe_exit(rank, silent[rank]), False
    return LOST_CONTACT_MESSAGE, True


def _with_rank(rank: int, error: str) -> str:
    return error if rank == 0 else f"Rank {rank}: {error}"


def _describe_exit(rank: int, death: Any) -> str:
    if death.exitcode >= 0:
        return f"Rank {rank} ended with exit code {death.exitcode} and without a word."
    how = f"Rank {rank} was killed by {death.signal_name()}"
    if death.signal_name() == "SIGKILL":
        how += " (perhaps the machine ran out of memory)"
    return f"{how}."

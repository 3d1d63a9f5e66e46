"""The program of a rank, which is one of several processes that run a job; see ``agent``."""

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from aiplatform.runtime.stop import JobStopped, StopRequest

AGENT_PID = "AIPLATFORM_RANK_LEADER"
"""Environment variable with the process id of the node's agent."""

NODE_ADDRESS = "AIPLATFORM_NODE_ADDRESS"
"""Environment variable with the address at which other nodes reach this one."""

ERROR = "rank-{}.error"
"""Name of the file, next to the job file, in which a failed rank leaves its error."""

LOST_CONTACT_MESSAGE = "The processes of the training lost contact with each other."
DISCONNECT_MESSAGES = (
    "connection closed by peer", "connection reset", "connection refused", "broken pipe",
    "nccl remote", "timed out waiting", "socket timeout", "watchdog caught", "sendbytes failed",
    "recvvalue failed", "connection was likely closed",
)  # fmt: skip
"""Parts of error messages that only mean that another rank has exited.

There is no exception class for these errors.
"""


def main(job_file: str, pipe: str) -> int:
    """Run the job as one of its ranks and return the process's exit code."""
    end_with_agent()
    stop = StopRequest()
    stop.listen()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    rank = int(os.environ["RANK"])
    with stop.delay():  # without the reporter, a stop couldn't be reported
        from aiplatform.runtime.channel import Reporter

        # This doesn't block, because the agent has already opened the pipe.
        report = Reporter(os.open(pipe, os.O_WRONLY) if rank == 0 else None, stop)
    try:
        stop.raise_if_requested()
        return _run(job_file, rank, report)
    except JobStopped:
        stop.mark_stopping()
        report.stopped()
        return 0


def _run(job_file: str, rank: int, report: Any) -> int:
    from aiplatform.runtime.child import (
        examine_old_objects_rarely,
        explain,
        needs_hub,
        prepare_environment,
    )

    examine_old_objects_rarely()
    try:
        from aiplatform.protocol.messages import Job
        from aiplatform.runtime.jobs import run

        job = Job.model_validate_json(Path(job_file).read_bytes())
        prepare_environment(needs_hub(job))
        report.traced = job.traceparent is not None
        select_own_gpu()
        set_network_interface()
        report.result(run(job, report))
    except Exception as error:  # noqa: BLE001  (the one handler of this process)
        report.stop.mark_stopping()
        traceback.print_exc()
        told = {
            "error": explain(error),
            "retryable": getattr(error, "retryable", False),
            "lost": is_lost_contact(error),
            "time": time.time(),
        }
        (Path(job_file).parent / ERROR.format(rank)).write_text(json.dumps(told), encoding="utf-8")
        return 1
    return 0


def select_own_gpu() -> None:
    """Hide all of the node's GPUs except this process's own, which becomes the first one."""
    devices = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if devices:
        own = devices[int(os.environ["LOCAL_RANK"]) % len(devices)]
        os.environ["CUDA_VISIBLE_DEVICES"] = own
        os.environ["LOCAL_RANK"] = "0"


def set_network_interface() -> None:
    """Make gloo and NCCL use the network interface of the node's address, unless one is set."""
    name = interface_of(os.environ.get(NODE_ADDRESS))
    if name is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def interface_of(wanted: str | None) -> str | None:
    """Return the network interface that has the address ``wanted``, or None if there is none."""
    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address.partition("%")[0] == wanted for address in addresses):
            return name
    return None


def is_lost_contact(error: BaseException) -> bool:
    """Return True if the error only means that another rank has exited."""
    said = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(
        sign in said for sign in DISCONNECT_MESSAGES
    )


def end_with_agent() -> None:
    """Make this process exit when its agent exits.

    A rank leads its own session, so killing the agent's process group doesn't reach it.
    """
    agent = int(os.environ[AGENT_PID])
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != agent:
        os._exit(1)
    if not sys.platform.startswith("linux"):
        threading.Thread(
            target=_end_when_orphaned, args=(agent,), daemon=True, name="agent"
        ).start()


def _end_when_orphaned(agent: int) -> None:
    while os.getppid() == agent:
        time.sleep(0.5)
    os._exit(1)


def destroy_process_group() -> None:
    """Leave torch's process group, if this process has joined one."""
    if "torch" in sys.modules:
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    destroy_process_group()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Skip the interpreter's shutdown, because threads of torch and tokenizers may still be running.
    os._exit(code)

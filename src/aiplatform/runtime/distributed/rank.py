"""One of the processes that share a job; started by the node's agent, see ``agent``."""

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

LEADER = "AIPLATFORM_RANK_LEADER"
"""The process id of the node's agent."""

NODE_ADDRESS = "AIPLATFORM_NODE_ADDRESS"
"""The address at which the other nodes reach this one."""

ERROR = "rank-{}.error"
"""What a rank that failed leaves for the agent, beside the job."""

LOST = "The processes of the training lost contact with each other."
TORN = (
    "connection closed by peer", "connection reset", "connection refused", "broken pipe",
    "nccl remote", "timed out waiting", "socket timeout", "watchdog caught", "sendbytes failed",
    "recvvalue failed", "connection was likely closed",
)  # fmt: skip
"""How the libraries say that another rank is gone; they have no type of error for it."""


def main(job_file: str, pipe: str) -> int:
    """Run the job as one of its ranks. Returns the process's exit code."""
    die_with_the_agent()
    stop = StopRequest()
    stop.listen()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    rank = int(os.environ["RANK"])
    with stop.held():  # whoever obeys must be able to say so
        from aiplatform.runtime.channel import Reporter

        # The agent has it open for reading, so this waits for nobody.
        report = Reporter(os.open(pipe, os.O_WRONLY) if rank == 0 else None, stop)
    try:
        stop.obey()
        return _run(job_file, rank, report)
    except JobStopped:
        stop.obeyed()
        report.stopped()
        return 0


def _run(job_file: str, rank: int, report: Any) -> int:
    from aiplatform.runtime.child import explain, needs_hub, prepare_environment

    try:
        from aiplatform.protocol.messages import Job
        from aiplatform.runtime.jobs import run

        job = Job.model_validate_json(Path(job_file).read_bytes())
        prepare_environment(needs_hub(job))
        report.traced = job.traceparent is not None
        take_own_gpu()
        name_interface()
        report.result(run(job, report))
    except Exception as error:  # noqa: BLE001  (the one handler of this process)
        report.stop.obeyed()
        traceback.print_exc()
        told = {
            "error": explain(error),
            "retryable": getattr(error, "retryable", False),
            "lost": lost_others(error),
            "time": time.time(),
        }
        (Path(job_file).parent / ERROR.format(rank)).write_text(json.dumps(told), encoding="utf-8")
        return 1
    return 0


def take_own_gpu() -> None:
    """Hide all GPUs of the node but this process's own, which becomes the first one it sees."""
    devices = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if devices:
        own = devices[int(os.environ["LOCAL_RANK"]) % len(devices)]
        os.environ["CUDA_VISIBLE_DEVICES"] = own
        os.environ["LOCAL_RANK"] = "0"


def name_interface() -> None:
    """Have gloo and NCCL speak over the interface of the node's address, unless they were told."""
    name = interface_of(os.environ.get(NODE_ADDRESS))
    if name is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def interface_of(wanted: str | None) -> str | None:
    """The network interface that has an address."""
    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address.partition("%")[0] == wanted for address in addresses):
            return name
    return None


def lost_others(error: BaseException) -> bool:
    """Whether the error says no more than that another rank is gone."""
    said = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(sign in said for sign in TORN)


def die_with_the_agent() -> None:
    """End this process when its agent ends: it leads a session of its own, out of reach of those
    who end the agent's."""
    leader = int(os.environ[LEADER])
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != leader:
        os._exit(1)
    if not sys.platform.startswith("linux"):
        threading.Thread(target=_watch, args=(leader,), daemon=True, name="agent").start()


def _watch(leader: int) -> None:
    while os.getppid() == leader:
        time.sleep(0.5)
    os._exit(1)


def leave() -> None:
    """Say goodbye to the other ranks."""
    if "torch" in sys.modules:
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    leave()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Without the interpreter's teardown: threads of torch and tokenizers may still run.
    os._exit(code)

"""The child of a spare: it imports what a job with a model will need, and waits for the job.

It must be as if the job had been started afresh. So nothing here touches a GPU, opens a file of a
task or draws a random number, and what a job is told by its environment is set before the job runs.
What is read once, at an import, is the same for all jobs that are given to spares; the others get a
start of their own.
"""

import contextlib
import ctypes
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiplatform.runtime.child import prepare_environment

AHEAD = (
    "aiplatform.runtime.channel",
    "aiplatform.runtime.environment",
    "aiplatform.runtime.evaluation.answers",
    "aiplatform.runtime.evaluation.run",
    "aiplatform.runtime.jobs",
    "aiplatform.runtime.serving.engines.transformers",
    "aiplatform.runtime.serving.run",
    "aiplatform.runtime.training.output",
    "aiplatform.runtime.training.reporting",
    "aiplatform.runtime.training.sft",
    "aiplatform.runtime.training.trainer",
)
"""What trainings, evaluations and deployments import, and torch, transformers, peft and trl by
it."""

THREADED = ("numpy", "scipy.linalg", "pyarrow")
"""What starts threads when it is imported. They keep the priority of the thread they come from, so
it is not imported at a low one; it takes half a second."""

WARM = b'{"type":"warm"}\n'
CUDA_ERROR_NOT_INITIALIZED = 3
NICENESS = 5
"""Niceness of the imports, in a spare only (Linux has 19 at most). With this, a spare has a
quarter of a processor beside one busy process and is warm after some 15 seconds. At 19 it gets a
sixtieth, so on a busy machine it would hold its memory for minutes without ever being of use."""

FIRST_TO_GO = 500
"""Added to the score by which Linux chooses whom to kill when memory is out."""


class SpareError(Exception):
    """The spare would not be like a fresh start, and must not be given a job."""


def wait_for_job(messages_fd: int, line: int) -> str | None:
    """Import ahead, say so on the messages pipe, and be as if started for the job that comes.

    Returns the job's file, or None when the other end of ``line`` is closed and no job will come.

    Raises:
        SpareError: when what was imported has already looked for GPUs.
        ImportError: when a package is missing.
    """
    prepare_environment(hub=False)
    # Without it, torch would look for GPUs by starting CUDA, which then has read for good which of
    # them are this process's.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    with first_to_be_killed():
        with out_of_the_way():
            for name in THREADED:
                with contextlib.suppress(ModuleNotFoundError):
                    importlib.import_module(name)
            import_at_low_priority()
        if not gpus_are_untouched():
            raise SpareError("an import has started CUDA before it was told which GPUs to use")
        os.write(messages_fd, WARM)
        data = read_line(line)
    if not data:
        return None
    begin = json.loads(data)
    os.chdir(begin["directory"])
    os.environ.clear()
    os.environ.update(begin["environment"])
    # Read already, at imports, and so to be said again.
    tempfile.tempdir = None
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(threads))
    job: str = begin["job"]
    return job


def read_line(descriptor: int) -> bytes:
    """The one line that comes; nothing when the pipe is closed before."""
    data = b""
    while not data.endswith(b"\n"):
        more = os.read(descriptor, 65536)
        if not more:
            return b""
        data += more
    return data


def import_at_low_priority() -> None:
    """Import :data:`AHEAD` at a lower priority than the tasks that are running.

    On Linux each thread has a priority of its own. The main thread keeps its priority, because an
    unprivileged process can't raise one that it has lowered.

    Raises:
        ImportError: when a package is missing.
    """

    def work() -> None:
        if sys.platform.startswith("linux"):
            os.nice(NICENESS)
        for name in AHEAD:
            importlib.import_module(name)

    with ThreadPoolExecutor(1, "imports") as imports:
        imports.submit(work).result()


@contextlib.contextmanager
def out_of_the_way() -> Iterator[None]:
    """Lower this session's weight beside other sessions, where Linux groups processes by them.

    There (`sched_autogroup`, the default of desktops) a thread's priority counts within its session
    only, and a child is a session of its own. This weight may be raised again by anybody.
    """
    weight = Path("/proc/self/autogroup")
    try:
        weight.write_text(str(NICENESS))
    except OSError:  # no such thing here
        yield
        return
    yield
    # It takes one change in a tenth of a second from all who have no privileges.
    for _ in range(100):
        with contextlib.suppress(BlockingIOError):
            weight.write_text("0")
            return
        time.sleep(0.05)
    raise SpareError("the session's weight could not be raised again")


def gpus_are_untouched() -> bool:
    """Whether CUDA's driver, if there is one, was not started in this process."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return True
    count = ctypes.c_int()
    return bool(driver.cuDeviceGetCount(ctypes.byref(count)) == CUDA_ERROR_NOT_INITIALIZED)


@contextlib.contextmanager
def first_to_be_killed() -> Iterator[None]:
    """Within, Linux ends this process before others of its size when memory is out."""
    score = Path("/proc/self/oom_score_adj")
    try:
        before = score.read_text()
        score.write_text(str(min(1000, int(before) + FIRST_TO_GO)))
    except OSError:  # no such thing here
        yield
        return
    yield
    score.write_text(before)  # what was added can be taken back

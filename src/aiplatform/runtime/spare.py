"""The child process of a spare, which imports modules for a job with a model and waits for it.

A job must run as if its process had just been started. This module therefore doesn't touch a GPU,
open a task's files or draw random numbers, and it sets the job's environment before the job runs.
Libraries read some environment variables only once, when they are imported. The worker gives a
spare only jobs for which these variables have the same values.
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

from aiplatform.runtime.child import examine_old_objects_rarely, prepare_environment

MODULES = (
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
"""Modules that training, evaluation and deployment jobs import.

They import torch, transformers, peft and trl.
"""

THREAD_STARTING_MODULES = ("numpy", "scipy.linalg", "pyarrow")
"""Modules that start threads at import.

Threads keep the priority of the thread that started them, so these modules are not imported at low
priority. Importing them takes half a second.
"""

WARM_MESSAGE = b'{"type":"warm"}\n'
CUDA_ERROR_NOT_INITIALIZED = 3
IMPORT_NICENESS = 5
"""Niceness of the imports, in spares only (Linux allows up to 19).

With this value, a spare that competes with one busy process gets a quarter of a processor and is
ready after about 15 seconds. At 19 it would get a sixtieth of a processor: on a busy machine, it
would occupy memory for minutes before it could be used.
"""

OOM_SCORE_INCREASE = 500
"""Increase of the score by which Linux chooses the process to kill when memory runs out."""


class SpareError(Exception):
    """The spare differs from a newly started process, and so must not get a job."""


def wait_for_job(messages_fd: int, job_reader: int) -> str | None:
    """Import modules, report that they are imported, wait for a job and set its environment.

    Return the path of the job file, or None if the other end of ``job_reader`` is closed before a
    job arrives.

    Raises:
        SpareError: An import has started CUDA.
        ImportError: A package is missing.
    """
    prepare_environment(hub=False)
    examine_old_objects_rarely()
    # Otherwise torch would start CUDA to look for GPUs, and CUDA reads only once which GPUs this
    # process may use.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    with high_oom_score():
        with low_session_weight():
            for name in THREAD_STARTING_MODULES:
                with contextlib.suppress(ModuleNotFoundError):
                    importlib.import_module(name)
            import_at_low_priority()
        if not cuda_is_uninitialized():
            raise SpareError("an import has started CUDA before it was told which GPUs to use")
        os.write(messages_fd, WARM_MESSAGE)
        data = read_line(job_reader)
    if not data:
        return None
    begin = json.loads(data)
    os.chdir(begin["directory"])
    os.environ.clear()
    os.environ.update(begin["environment"])
    # The imports have already read these settings from the environment.
    tempfile.tempdir = None
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(threads))
    job: str = begin["job"]
    return job


def read_line(descriptor: int) -> bytes:
    """Read one line from a pipe; return empty bytes if the pipe is closed before the line ends."""
    data = b""
    while not data.endswith(b"\n"):
        more = os.read(descriptor, 65536)
        if not more:
            return b""
        data += more
    return data


def import_at_low_priority() -> None:
    """Import :data:`MODULES` at a lower priority than running tasks.

    This is done in a separate thread, because on Linux each thread has its own priority. The main
    thread must keep its priority, because an unprivileged process can't raise a priority again.

    Raises:
        ImportError: A package is missing.
    """

    def work() -> None:
        if sys.platform.startswith("linux"):
            os.nice(IMPORT_NICENESS)
        for name in MODULES:
            importlib.import_module(name)

    with ThreadPoolExecutor(1, "imports") as imports:
        imports.submit(work).result()


@contextlib.contextmanager
def low_session_weight() -> Iterator[None]:
    """Lower the weight of this process's session while the context is active.

    If Linux groups processes by session (``sched_autogroup``, the default on desktops), a thread's
    priority only matters within its session, and each child process has its own session. Unlike a
    priority, the weight may be raised again by unprivileged processes.

    Raises:
        SpareError: The weight could not be raised again.
    """
    weight = Path("/proc/self/autogroup")
    try:
        weight.write_text(str(IMPORT_NICENESS))
    except OSError:  # the kernel has no autogroups
        yield
        return
    yield
    # Linux accepts one change per tenth of a second from unprivileged processes.
    for _ in range(100):
        with contextlib.suppress(BlockingIOError):
            weight.write_text("0")
            return
        time.sleep(0.05)
    raise SpareError("the session's weight could not be raised again")


def cuda_is_uninitialized() -> bool:
    """Return True unless CUDA's driver has been started in this process."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return True
    count = ctypes.c_int()
    return bool(driver.cuDeviceGetCount(ctypes.byref(count)) == CUDA_ERROR_NOT_INITIALIZED)


@contextlib.contextmanager
def high_oom_score() -> Iterator[None]:
    """Make Linux prefer to kill this process when memory runs out, while the context is active."""
    score = Path("/proc/self/oom_score_adj")
    try:
        before = score.read_text()
        score.write_text(str(min(1000, int(before) + OOM_SCORE_INCREASE)))
    except OSError:  # the system has no such score
        yield
        return
    yield
    score.write_text(before)  # a process may lower its score back to the earlier value

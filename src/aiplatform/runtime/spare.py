"""The child of a spare: imports what a job with a model needs, and waits for the job.

A job must run as if its process had just been started. So this module doesn't touch a GPU, open
files of a task or draw random numbers, and it sets the job's environment before the job runs. Some
variables are read only once, at an import. The worker gives a spare only those jobs for which they
have the same values.
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
"""Modules that trainings, evaluations and deployments import.

They import torch, transformers, peft and trl.
"""

THREAD_STARTING_MODULES = ("numpy", "scipy.linalg", "pyarrow")
"""Modules that start threads at import.

Threads keep the priority of the thread that started them, so these modules are not imported at low
priority. This takes half a second.
"""

WARM_MESSAGE = b'{"type":"warm"}\n'
CUDA_ERROR_NOT_INITIALIZED = 3
IMPORT_NICENESS = 5
"""Niceness of the imports, in spares only (Linux allows up to 19).

With this value, a spare gets a quarter of a processor beside one busy process, and is warm after
about 15 seconds. At 19 it would get a sixtieth of a processor: on a busy machine, it would occupy
memory for minutes before it can be used.
"""

OOM_SCORE_INCREASE = 500
"""Addition to the score by which Linux chooses a process to kill when memory runs out."""


class SpareError(Exception):
    """The spare differs from a newly started process, so it must not get a job."""


def wait_for_job(messages_fd: int, job_reader: int) -> str | None:
    """Import modules, report this on the messages pipe, wait for a job and set its environment.

    Returns the path of the job's file, or None if the other end of ``job_reader`` is closed, so
    that no job will come.

    Raises:
        SpareError: If an import has started CUDA.
        ImportError: If a package is missing.
    """
    prepare_environment(hub=False)
    examine_old_objects_rarely()
    # Otherwise, torch would start CUDA to look for GPUs. CUDA reads only once which GPUs this
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
    """Read one line from a pipe; return empty bytes if the pipe is closed before the line's end."""
    data = b""
    while not data.endswith(b"\n"):
        more = os.read(descriptor, 65536)
        if not more:
            return b""
        data += more
    return data


def import_at_low_priority() -> None:
    """Import :data:`MODULES` at a lower priority than that of running tasks.

    This is done in a thread, because on Linux each thread has its own priority. The main thread
    keeps its priority: an unprivileged process can't raise one that it has lowered.

    Raises:
        ImportError: If a package is missing.
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

    If Linux groups processes by session (``sched_autogroup``, the default of desktops), a thread's
    priority only counts within its session, and each child has its own session. Unprivileged
    processes may raise this weight again.

    Raises:
        SpareError: If the weight could not be raised again.
    """
    weight = Path("/proc/self/autogroup")
    try:
        weight.write_text(str(IMPORT_NICENESS))
    except OSError:  # the kernel has no autogroups
        yield
        return
    yield
    # From unprivileged processes, Linux accepts one change in a tenth of a second.
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
    """Let Linux kill this process before others of its size while the context is active."""
    score = Path("/proc/self/oom_score_adj")
    try:
        before = score.read_text()
        score.write_text(str(min(1000, int(before) + OOM_SCORE_INCREASE)))
    except OSError:  # the system has no such score
        yield
        return
    yield
    score.write_text(before)  # a process may lower its score to the earlier value

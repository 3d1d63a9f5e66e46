"""The main function of the child process: it reads the job, runs it and reports the outcome."""

import errno
import gc
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from aiplatform.runtime.priority import apply_niceness
from aiplatform.runtime.stop import JobStopped, StopRequest

if TYPE_CHECKING:
    from aiplatform.protocol.messages import Job
    from aiplatform.runtime.channel import Reporter

OFFLINE = {
    # The libraries may use a hub only when a model is imported from it.
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
}
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "TQDM_DISABLE": "1",
}
EXTRAS = {"deepspeed": "deepspeed"}
"""Extras that provide packages missing from the extra ``llm``, keyed by package."""


def run_job(job_file: str, messages_fd: int) -> int:
    """Run the job and return the exit code: 0 if it succeeded or stopped on request."""
    stop = StopRequest()
    stop.listen()  # before the imports, which take seconds
    apply_niceness()
    examine_old_objects_rarely()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    with stop.delay():  # without the reporter, a stop couldn't be reported
        from aiplatform.runtime.channel import Reporter

    report = Reporter(messages_fd, stop)
    try:
        stop.raise_if_requested()
        return _run_reported(job_file, report)
    except JobStopped:
        stop.mark_stopping()
        report.stopped()
        return 0


def _run_reported(job_file: str, report: "Reporter") -> int:
    try:
        from aiplatform.protocol.messages import Job
        from aiplatform.protocol.specs import FixSpec, QualitySpec, ScriptSpec
        from aiplatform.runtime.jobs import run

        job = Job.model_validate_json(Path(job_file).read_bytes())
        prepare_environment(needs_hub(job))
        report.traced = job.traceparent is not None
        if isinstance(job.spec, QualitySpec | FixSpec):
            from aiplatform.data.no_pandas import hide_pandas

            hide_pandas()
        # run_script() starts the ranks of a script itself.
        if job.ranks is None or isinstance(job.spec, ScriptSpec):
            report.result(run(job, report))
        else:
            from aiplatform.runtime.distributed.agent import run_ranks

            return run_ranks(job_file, job, job.ranks, report)
    except Exception as error:  # noqa: BLE001  (the one handler of this process)
        report.stop.mark_stopping()
        traceback.print_exc()
        report.failure(explain(error), retryable=getattr(error, "retryable", False))
        return 1
    return 0


def needs_hub(job: "Job") -> bool:
    """Return True if the job imports a model from a hub, and so may use a network."""
    from aiplatform.protocol.model_sources import HubSource
    from aiplatform.protocol.specs import ImportSpec

    return isinstance(job.spec, ImportSpec) and isinstance(job.spec.source, HubSource)


def prepare_environment(hub: bool) -> None:
    """Set the environment variables that libraries read at import, unless the worker set them."""
    for name, value in {**QUIET, **({} if hub else OFFLINE)}.items():
        os.environ.setdefault(name, value)
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        # Otherwise DeepSpeed looks for devices, and warns in the log of each training run that
        # it found none.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def examine_old_objects_rarely() -> None:
    """Make the garbage collector examine its oldest generation a tenth as often as by default.

    Importing torch and transformers creates a million long-lived objects. Examining them again and
    again takes an eighth of the import time.
    """
    gc.set_threshold(*gc.get_threshold()[:2], 100)


def explain(error: BaseException) -> str:
    """Describe the cause of an error to the user, with a remedy if one is known."""
    from aiplatform.runtime.channel import JobError

    if isinstance(error, JobError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "The device ran out of memory. Use a smaller batch_size or max_length, "
            "or a worker with more memory."
        )
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The worker's disk is full ({error.filename or 'no file named'})."
    if isinstance(error, ModuleNotFoundError):
        package = str(error.name).partition(".")[0]
        return (
            f"The worker lacks the Python package {package!r}; "
            f"install AI Platform there with its extra {EXTRAS.get(package, 'llm')!r}."
        )
    cause = " ".join(str(error).split())
    if len(cause) > 500:
        cause = f"{cause[:499]}…"
    return f"{type(error).__name__}: {cause}" if cause else type(error).__name__

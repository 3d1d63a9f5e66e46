"""Run a user's own command: what it may use, what it reports, how it ends."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import ScriptSpec
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.script.place import Place, place_of
from aiplatform.runtime.script.reports import Reports
from aiplatform.runtime.script.usage import MIB, Usage

POLL_SECONDS = 0.25
PASSED_ON = ("CUDA_VISIBLE_DEVICES", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")


def run_script(job: Job, report: Reporter) -> dict[str, Any]:
    """Run the job's command to its end; its output directory is what the task has made.

    Raises:
        JobError: when it can't be started, exits with another code than 0, or uses too much.
        JobStopped: when a stop was asked for and the command has ended.
    """
    spec = job.spec
    assert isinstance(spec, ScriptSpec)
    directory = Path(job.output_dir).parent
    with report.stop.held(), place_of(job, directory) as place:
        report.event("script", own_user=place.uid is not None, command=spec.command[0][:200])
        reports = Reports(report, job, place)
        usage = Usage(spec, job, place)
        started = time.monotonic()
        process = start(spec, job, place, reports)
        with process:
            try:
                watch(process, usage, reports)
            finally:
                usage.processes.end()
                process.wait()
                # What it has announced before it ended counts, however it ended.
                reports.drain()
        if not report.stop.requested:
            judge(process.returncode, spec)
            usage.require_disk()
            place.take(place.output, Path(job.output_dir))
    report.stop.obey()
    return {
        "exit_code": process.returncode,
        "seconds": time.monotonic() - started,
        "metrics": reports.last,
    }


def start(spec: ScriptSpec, job: Job, place: Place, reports: Reports) -> subprocess.Popen[bytes]:
    """Start the command.

    Raises:
        JobError: when the system refuses.
    """
    own = place.uid is not None
    try:
        return subprocess.Popen(
            spec.command,
            cwd=place.code,
            env=environment(spec, job, place, reports.descriptor),
            stdin=subprocess.DEVNULL,
            pass_fds=(reports.descriptor,),
            umask=0o077,
            preexec_fn=bounds(spec, own_user=own),  # noqa: PLW1509
            user=place.uid,
            group=place.uid,
            extra_groups=[] if own else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise JobError(
            f"The command {spec.command[0]!r} could not be started: {error}. It has to be in the "
            f"environment {spec.environment!r} or in the bundle"
            + (", and readable by every user of the worker's machine." if own else ".")
        ) from error
    finally:
        reports.started()


def environment(spec: ScriptSpec, job: Job, place: Place, descriptor: int) -> dict[str, str]:
    """All that the script finds in its environment."""
    prefix = job.prefix or sys.prefix
    found = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    found |= {
        "PATH": os.pathsep.join([f"{prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(place.home),
        "TMPDIR": str(place.home),
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": prefix,
        "AIPLATFORM_ATTEMPT": str(job.attempt),
        "AIPLATFORM_CHECKPOINTS": str(place.checkpoints),
        "AIPLATFORM_INPUTS": str(place.inputs),
        "AIPLATFORM_OUTPUT": str(place.output),
        "AIPLATFORM_REPORT_FD": str(descriptor),
        "AIPLATFORM_TASK": str(job.task),
    }
    if job.traceparent is not None:
        found["TRACEPARENT"] = job.traceparent
    if place.resume is not None:
        found["AIPLATFORM_RESUME_FROM"] = str(place.resume)
    # Those that the task names, and no others.
    secrets = {name: os.environ[name] for name in spec.secrets if name in os.environ}
    return found | spec.variables | secrets


def bounds(spec: ScriptSpec, *, own_user: bool) -> Callable[[], None]:
    """What the new process does to itself before it becomes the command."""
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, spec.max_file_mb * MIB),
        (resource.RLIMIT_NOFILE, spec.max_open_files),
    ]
    if own_user:  # it counts all processes of the user
        limits.append((resource.RLIMIT_NPROC, spec.max_processes))

    # Loaded before: as its own user the new process may not be able to read the library.
    system = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

    def apply() -> None:
        for kind, wanted in limits:
            hard = resource.getrlimit(kind)[1]
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (value, value))
        if system is not None:
            pr_set_no_new_privs = 38  # so that no setuid program gives it more
            system.prctl(pr_set_no_new_privs, 1, 0, 0, 0)

    return apply


def watch(process: subprocess.Popen[bytes], usage: Usage, reports: Reports) -> None:
    """Pass on what the command reports until it ends.

    A stop reaches it as it reaches us, by SIGTERM to the whole group.

    Raises:
        JobError: when it uses more memory, or more of the disk, than it may.
    """
    while process.poll() is None:
        reports.listen(POLL_SECONDS)
        usage.look()


def judge(code: int, spec: ScriptSpec) -> None:
    """Turn an exit code into words.

    Raises:
        JobError: for any but 0.
    """
    if code == 0:
        return
    if code == -signal.SIGXFSZ:
        raise JobError(
            f"The script wrote a file of more than {spec.max_file_mb} MiB; max_file_mb allows more."
        )
    if code < 0:
        raise JobError(f"The command was ended by {signal.Signals(-code).name}.")
    raise JobError(f"The command ended with exit code {code}; its log says why.")

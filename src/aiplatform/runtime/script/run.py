"""Run a user's own command: what it may use, what it reports, how it ends."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import ScriptSpec
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.script import ranks
from aiplatform.runtime.script.place import Place, place_of
from aiplatform.runtime.script.printed import Printed
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
        if job.ranks is None or job.ranks.node == 0:
            report.event("script", own_user=place.uid is not None, command=spec.command[0][:200])
        reports = Reports(report, job, place)
        usage = Usage(spec, job, place)
        started = time.monotonic()
        processes: list[subprocess.Popen[bytes]] = []
        printed = Printed()
        try:
            start_all(spec, job, place, reports, processes, printed)
            watch(processes, usage, reports)
        finally:
            ended = [process.poll() for process in processes]
            usage.processes.end()
            for process in processes:
                process.wait()
            printed.finish()
            # What it has announced before it ended counts, however it ended.
            reports.drain()
        if not report.stop.requested:
            judge(ended, spec, job)
            usage.require_disk()
            place.take(place.output, Path(job.output_dir))
    report.stop.obey()
    return {
        "exit_code": processes[0].returncode,
        "seconds": time.monotonic() - started,
        "metrics": reports.last,
    }


def start_all(
    spec: ScriptSpec,
    job: Job,
    place: Place,
    reports: Reports,
    processes: list[subprocess.Popen[bytes]],
    printed: Printed,
) -> None:
    """Start the command, as often as it was asked for, and add what was started to ``processes``.

    Raises:
        JobError: when the system refuses.
    """
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        for rank in ranks.places_of(job):
            heard = reports.descriptor if ranks.is_first(rank) else silent
            processes.append(start(spec, job, place, heard, rank))
            if rank:
                printed.of(processes[-1], rank["RANK"])
    finally:
        os.close(silent)
        reports.started()


def start(
    spec: ScriptSpec, job: Job, place: Place, heard: int, rank: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start one process of the command, whose reports go to ``heard``.

    Raises:
        JobError: when the system refuses.
    """
    own = place.uid is not None
    try:
        return subprocess.Popen(
            spec.command,
            cwd=place.code,
            env=environment(spec, job, place, heard) | rank,
            stdin=subprocess.DEVNULL,
            # One alone prints straight into the log.
            stdout=subprocess.PIPE if rank else None,
            stderr=subprocess.PIPE if rank else None,
            pass_fds=(heard,),
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
    return found | ranks.suggested(spec, job.ranks) | spec.variables | secrets


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


def watch(processes: Sequence[subprocess.Popen[bytes]], usage: Usage, reports: Reports) -> None:
    """Pass on what the command reports until all of it has ended, or one of its processes failed.

    A stop reaches it as it reaches us, by SIGTERM to the whole group; each ends in its own time.

    Raises:
        JobError: when it uses more memory, or more of the disk, than it may.
    """
    wait = POLL_SECONDS / len(processes)
    while None in (codes := [process.poll() for process in processes]):
        if any(codes) and not reports.report.stop.requested:
            return
        reports.listen(wait)
        usage.look()


def judge(codes: Sequence[int | None], spec: ScriptSpec, job: Job) -> None:
    """Turn exit codes into words; those that were still running have none.

    Raises:
        JobError: for any but 0. Where the loss of another node looks the same, it may be retried.
    """
    failed = [(code >= 0, rank, code) for rank, code in enumerate(codes) if code]
    if not failed:
        return
    # Of several, one that a signal ended is more likely the cause than those that lost it.
    _, rank, code = min(failed)
    if job.ranks is None:
        raise JobError(said_of(code, spec))
    first = job.ranks.node * job.ranks.processes
    raise JobError(f"Rank {first + rank}: {said_of(code, spec)}", retryable=job.ranks.nodes > 1)


def said_of(code: int, spec: ScriptSpec) -> str:
    """What an exit code other than 0 means."""
    if code == -signal.SIGXFSZ:
        return (
            f"The script wrote a file of more than {spec.max_file_mb} MiB; max_file_mb allows more."
        )
    if code < 0:
        return f"The command was ended by {signal.Signals(-code).name}."
    return f"The command ended with exit code {code}; its log says why."

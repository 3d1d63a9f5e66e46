"""Script jobs, which run a user's command with limits and handle its reports and exit code."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import ScriptSpec
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.script import ranks
from aiplatform.runtime.script.cgroups import Group, trees
from aiplatform.runtime.script.directories import ScriptDirectories, script_directories
from aiplatform.runtime.script.output_forwarding import OutputForwarder
from aiplatform.runtime.script.reports import Reports
from aiplatform.runtime.script.sandbox import (
    Command,
    Sandbox,
    SandboxedCommand,
    SandboxRefused,
    Start,
    first_closed_directory,
)
from aiplatform.runtime.script.usage import MIB, Usage

POLL_SECONDS = 0.25
SHARED_MEMORY_MB = 1024
"""Shared memory, in MiB, for a script without a memory limit."""

INHERITED_VARIABLES = ("CUDA_VISIBLE_DEVICES", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")


def run_script(job: Job, report: Reporter) -> dict[str, Any]:
    """Run the job's command until it exits; keep its output directory as the task's output.

    Raises:
        JobError: The command can't be started, has a non-zero exit code, or exceeds a limit.
        JobStopped: A stop was requested, and the command has exited.
    """
    spec = job.spec
    assert isinstance(spec, ScriptSpec)
    directory = Path(job.output_dir).parent
    with (
        report.stop.delay(),
        script_directories(job, directory) as directories,
        control_group(spec, directories) as group,
    ):
        require_isolation(job, directories)
        reports = Reports(report, job, directories, disk_limit_bytes(spec))
        usage = Usage(spec, job, directories, group)
        started = time.monotonic()
        script = Script(spec, job, directories, group)
        output = OutputForwarder()
        try:
            script.start(reports, output)
            if job.ranks is None or job.ranks.node == 0:
                report.event(
                    "script",
                    own_user=directories.uid is not None,
                    isolated=script.sandbox is not None,
                    command=spec.command[0][:200],
                )
            watch(script, usage, reports)
        finally:
            ended = [command.poll() for command in script.commands]
            usage.processes.end(group, script.sandbox)
            for command in script.commands:
                command.wait()
            output.finish()
            # Reports that arrived before the exit count, whatever the exit code is.
            reports.drain()
        if not report.stop.requested:
            usage.require_memory()
            script.require_started(ended)
            raise_for_exit_codes(ended, spec, job)
            usage.require_disk()
            directories.copy_output(
                directories.output, Path(job.output_dir), disk_limit_bytes(spec)
            )
    report.stop.raise_if_requested()
    return {
        "exit_code": script.commands[0].returncode,
        "seconds": time.monotonic() - started,
        "metrics": reports.last,
    }


def disk_limit_bytes(spec: ScriptSpec) -> int | None:
    """Return the number of bytes that the script may write, or None if there is no limit."""
    return None if spec.max_disk_mb is None else spec.max_disk_mb * MIB


@contextmanager
def control_group(spec: ScriptSpec, directories: ScriptDirectories) -> Iterator[Group]:
    """Yield a control group for the script and remove it afterwards.

    If the script has no separate user, the group has no effect.
    """
    group = Group(
        directories.root.name,
        trees() if directories.uid is not None else [],
        memory_mb=spec.resources.memory_mb or 0,
        processes=spec.max_processes,
    )
    try:
        yield group
    finally:
        group.remove()


def require_isolation(job: Job, directories: ScriptDirectories) -> None:
    """Raise an error if the script must be isolated but would run as the worker's user.

    Raises:
        JobError: The administrator has not allowed scripts without isolation.
    """
    if directories.uid is None and job.isolation_required:
        raise JobError(isolation_refusal("it runs as an ordinary user"))


def isolation_refusal(reason: str) -> str:
    """Return a message that says why a worker doesn't run scripts and what to do about it."""
    return (
        f"This worker can't isolate scripts from each other: {reason}. Run it as root with the "
        "right to make namespaces (`aiplatform doctor` says what is missing), or allow scripts to "
        "read each other's files by AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION=true."
    )


class Script:
    """The processes of a task's command on this node."""

    def __init__(
        self, spec: ScriptSpec, job: Job, directories: ScriptDirectories, group: Group
    ) -> None:
        self.spec = spec
        self.job = job
        self.directories = directories
        self.group = group
        self.sandbox: Sandbox | None = None
        self.commands: list[Command] = []

    def start(self, reports: Reports, output: OutputForwarder) -> None:
        """Start all processes; reports are read only from rank 0 of the job.

        Raises:
            JobError: A process can't be started.
        """
        silent = os.open(os.devnull, os.O_WRONLY)
        try:
            starts = []
            for rank in ranks.rank_variables(self.job):
                heard = reports.descriptor if ranks.is_first(rank) else silent
                variables = environment(self.spec, self.job, self.directories, heard) | rank
                # A single process writes directly to the log.
                outputs = output.forward(rank["RANK"]) if rank else (None, None)
                starts.append(Start(self.spec.command, variables, heard, *outputs))
            self._require_readable_program()
            if self.directories.uid is None or not self._start_in_sandbox(starts):
                for one in starts:
                    self.commands.append(self._start_without_sandbox(one))
        finally:
            os.close(silent)
            output.close_write_ends()
            reports.close_write_end()

    def stop(self) -> None:
        """Send SIGTERM to the commands if they run in a sandbox.

        Without a sandbox, the commands have already received the signal that was sent to this
        process's group.
        """
        if self.sandbox is not None:
            self.sandbox.stop()

    def require_started(self, codes: Sequence[int | None]) -> None:
        """Raise an error if a command could not be started.

        Raises:
            JobError: A command could not be started; the text says why.
        """
        for command, code in zip(self.commands, codes, strict=True):
            if (
                code is not None
                and isinstance(command, SandboxedCommand)
                and command.error is not None
            ):
                raise self._not_started(command.error) from command.error

    def _start_in_sandbox(self, starts: Sequence[Start]) -> bool:
        """Start all commands in a sandbox; return False if that fails and is not required."""
        assert self.directories.uid is not None
        prefix = Path(self.job.prefix or sys.prefix)
        python = (prefix / "bin/python").resolve()
        sandbox = Sandbox(
            self.directories.root,
            self.directories.uid,
            self.directories.code,
            limits=process_limits(self.spec, own_user=True),
            join_files=self.group.join_files,
            on_join_failure=self.group.record_join_failure,
            visible_paths=[prefix, *([python.parents[1]] if len(python.parents) > 2 else [])],
            shared_memory_mb=self.spec.resources.memory_mb or SHARED_MEMORY_MB,
        )
        try:
            self.commands = list(sandbox.start(starts))
        except SandboxRefused as error:
            if self.job.isolation_required:
                raise JobError(isolation_refusal(f"the system refuses {error}")) from error
            return False
        self.sandbox = sandbox
        return True

    def _start_without_sandbox(self, one: Start) -> Command:
        own = self.directories.uid is not None
        # Opened now, as root, because the new process joins the groups as the script's user.
        paths = self.group.join_files
        join_files = [os.open(path, os.O_WRONLY) for path in paths]
        failures, failures_writer = os.pipe()
        os.set_blocking(failures, False)
        try:
            command = subprocess.Popen(
                one.command,
                cwd=self.directories.code,
                env=one.environment,
                stdin=subprocess.DEVNULL,
                stdout=one.stdout,
                stderr=one.stderr,
                pass_fds=(one.report,),
                umask=0o077,
                preexec_fn=make_preexec(  # noqa: PLW1509
                    process_limits(self.spec, own_user=own), join_files, failures_writer
                ),
                user=self.directories.uid,
                group=self.directories.uid,
                extra_groups=[] if own else None,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise self._not_started(error) from error
        else:
            with suppress(BlockingIOError):  # Popen() has returned, so nothing more is written
                for number in os.read(failures, len(paths) or 1):
                    self.group.record_join_failure(paths[number])
            return command
        finally:
            for descriptor in (*join_files, failures, failures_writer):
                os.close(descriptor)

    def _require_readable_program(self) -> None:
        """Raise an error unless the script's user can run the program in the chosen environment.

        Otherwise the system would silently run another program of the same name.

        Raises:
            JobError: A directory above the program is closed to other users.
        """
        name = self.spec.command[0]
        program = Path(self.job.prefix or sys.prefix, "bin", name)
        if self.directories.uid is None or "/" in name or not program.exists():
            return
        closed = first_closed_directory(program)
        if closed is not None:
            raise JobError(
                f"The command {name!r} is that of the environment {self.spec.environment!r}, "
                f"{program}, which scripts can't run: {closed} is closed to other users. Install "
                "the environment where every user may read it, such as below /opt, and name it in "
                f"AIPLATFORM_SCRIPT_ENVIRONMENTS; or open the directory: chmod o+x {closed}"
            )

    def _not_started(self, error: Exception) -> JobError:
        return JobError(
            f"The command {self.spec.command[0]!r} could not be started: {error}. It has to be in "
            f"the environment {self.spec.environment!r} or in the bundle"
            + (
                ", and readable by every user of the worker's machine."
                if self.directories.uid is not None
                else "."
            )
        )


def environment(
    spec: ScriptSpec, job: Job, directories: ScriptDirectories, descriptor: int
) -> dict[str, str]:
    """Return the script's environment variables."""
    prefix = job.prefix or sys.prefix
    found = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    found |= {
        "PATH": os.pathsep.join([f"{prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(directories.home),
        "TMPDIR": str(directories.home),
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": prefix,
        "AIPLATFORM_ATTEMPT": str(job.attempt),
        "AIPLATFORM_CHECKPOINTS": str(directories.checkpoints),
        "AIPLATFORM_INPUTS": str(directories.inputs),
        "AIPLATFORM_OUTPUT": str(directories.output),
        "AIPLATFORM_REPORT_FD": str(descriptor),
        "AIPLATFORM_TASK": str(job.task),
    }
    if job.traceparent is not None:
        found["TRACEPARENT"] = job.traceparent
    if directories.resume is not None:
        found["AIPLATFORM_RESUME_FROM"] = str(directories.resume)
    # Only the secrets that the task names.
    secrets = {name: os.environ[name] for name in spec.secrets if name in os.environ}
    return found | ranks.default_variables(spec, job.ranks) | spec.variables | secrets


def process_limits(spec: ScriptSpec, *, own_user: bool) -> list[tuple[int, int]]:
    """Return the limits for each process, as pairs of a ``resource.RLIMIT_*`` and a value."""
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, spec.max_file_mb * MIB),
        (resource.RLIMIT_NOFILE, spec.max_open_files),
    ]
    if own_user:  # the limit counts all processes of a user
        limits.append((resource.RLIMIT_NPROC, spec.max_processes))
    return limits


def make_preexec(
    limits: Sequence[tuple[int, int]], join_files: Sequence[int], failures: int
) -> Callable[[], None]:
    """Return the function that a new process without a sandbox calls before the command.

    For each control group that the process can't join, the function writes the index of the group's
    file to the descriptor ``failures``.
    """
    # Loaded now, because the new process's user might be unable to read the library.
    system = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

    def apply() -> None:
        for number, entrance in enumerate(join_files):
            try:
                os.write(entrance, b"0")
            except OSError:
                os.write(failures, bytes([number]))
        for kind, wanted in limits:
            hard = resource.getrlimit(kind)[1]
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (value, value))
        if system is not None:
            pr_set_no_new_privs = 38  # so that setuid programs give it no privileges
            system.prctl(pr_set_no_new_privs, 1, 0, 0, 0)

    return apply


def watch(script: Script, usage: Usage, reports: Reports) -> None:
    """Handle the script's reports until all its processes have exited or one has failed.

    A stop request is passed on to the processes once; they then continue until they exit.

    Raises:
        JobError: The command exceeds its memory or disk limit.
    """
    wait = POLL_SECONDS / len(script.commands)
    stop_sent = False
    while None in (codes := [command.poll() for command in script.commands]):
        if any(codes) and not reports.report.stop.requested:
            return
        if reports.report.stop.requested and not stop_sent:
            stop_sent = True
            script.stop()
        reports.listen(wait)
        usage.check()


def raise_for_exit_codes(codes: Sequence[int | None], spec: ScriptSpec, job: Job) -> None:
    """Raise an error if an exit code is not 0; it is None for a process that was still running.

    Raises:
        JobError: An exit code is not 0. This is retryable with several nodes, because another node
            may have been lost.
    """
    failed = [(code >= 0, rank, code) for rank, code in enumerate(codes) if code]
    if not failed:
        return
    # If several failed, a process that was killed by a signal is more likely the cause than those
    # that only lost contact with it.
    _, rank, code = min(failed)
    if job.ranks is None:
        raise JobError(describe_exit_code(code, spec))
    first = job.ranks.node * job.ranks.processes
    raise JobError(
        f"Rank {first + rank}: {describe_exit_code(code, spec)}", retryable=job.ranks.nodes > 1
    )


def describe_exit_code(code: int, spec: ScriptSpec) -> str:
    """Return the meaning of an exit code other than 0."""
    if code == -signal.SIGXFSZ:
        return (
            f"The script wrote a file of more than {spec.max_file_mb} MiB; max_file_mb allows more."
        )
    if code < 0:
        return f"The command was ended by {signal.Signals(-code).name}."
    return f"The command ended with exit code {code}; its log says why."

"""Operations on external runs: start a run, and send records that could not be sent earlier."""

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from aiplatform.client.base import Group, as_uuid
from aiplatform.client.errors import ClientError, ServerUnavailable
from aiplatform.client.experiments import Experiment, ExperimentLike
from aiplatform.client.external.journal import ABOUT, Journal, parse_final_status, runs_directory
from aiplatform.client.external.run import ExternalRun
from aiplatform.client.external.sender import Sender
from aiplatform.client.projects import ProjectLike
from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.shapes.projects import ProjectOut


@dataclass(frozen=True, slots=True)
class Synced:
    """The result of :meth:`ExternalRuns.sync` for one directory.

    ``points`` and ``lines`` are the numbers of sent metric points and log lines. ``complete`` is
    true if everything was sent and the directory was therefore deleted.
    """

    directory: Path
    task: UUID
    points: int
    lines: int
    complete: bool


class ExternalRuns(Group):
    """The operations on runs that execute outside the platform (``client.external``)."""

    def begin(
        self,
        name: str,
        *,
        project: ProjectLike | None = None,
        experiment: ExperimentLike | None = None,
        config: Mapping[str, Any] | None = None,
        mode: Literal["online", "offline"] = "online",
        directory: Path | str | None = None,
        raise_when_cancelled: bool = False,
        end_timeout: float = 60.0,
        capture_output: bool = False,
    ) -> ExternalRun:
        """Start a run; see :meth:`Client.run`."""
        journal = Journal.create(
            runs_directory() if directory is None else Path(directory),
            {
                "name": name,
                "project": _reference(self._client.project if project is None else project),
                "experiment": _reference(experiment),
                "config": jsonable(dict(config or {})),
                "facts": machine_facts(),
                "started_at": datetime.now(UTC).isoformat(),
                "url": self._client.url,
            },
        )
        if mode == "offline":
            return ExternalRun(
                journal, None, end_timeout=end_timeout, capture_output=capture_output
            )
        sender = Sender(self._client, journal)
        try:
            sender.begin()
        except ServerUnavailable:
            pass  # the thread keeps trying, and warns
        except ClientError:
            # Such an error is permanent and should be reported before training, not after it.
            journal.remove()
            raise
        return ExternalRun(
            journal,
            sender,
            raise_when_cancelled=raise_when_cancelled,
            end_timeout=end_timeout,
            capture_output=capture_output,
        )

    def sync(
        self,
        directory: Path | str,
        *,
        ended: TaskStatus | str | None = None,
        project: ProjectLike | None = None,
    ) -> Synced:
        """Send the records in a run's directory that have not been sent; nothing is stored twice.

        Args:
            directory: the directory of one run.
            ended: the final status of the run, if its process died before recording it. The time of
                the run's last record is then used as its end.
            project: the project to use instead of the one named by the run.

        Raises:
            JournalNotFound: if the directory contains no run.
            ValueError: if ``ended`` is not a final status; nothing is sent or written in that case.
            ApiError: if the server rejects a request or can't be reached; nothing is lost, and the
                call can be repeated.
        """
        # Check this first: the end can't be changed once it is written to the journal.
        status = None if ended is None else parse_final_status(ended)
        journal = Journal(Path(directory))
        if project is not None and journal.about.get("task") is None:
            journal.record_facts(project=_reference(project))
        if status is not None and journal.end is None:
            error = "its process died" if status is TaskStatus.FAILED else None
            ended_at = journal.last_record_time()
            journal.record_end(
                {"status": status, "error": error, "result": {}, "ended_at": ended_at}
            )
        sender = Sender(self._client, journal)
        while sender.send():
            pass
        complete = journal.end is not None
        if complete:
            sender.end()
            journal.remove()
        return Synced(
            directory=journal.directory,
            task=UUID(journal.about["task"]),
            points=sender.points.number - 1,
            lines=sender.log.number - 1,
            complete=complete,
        )

    def unsent(self, directory: Path | str | None = None) -> Sequence[Path]:
        """Return the directories of runs that are not completely sent, oldest first."""
        parent = runs_directory() if directory is None else Path(directory)
        return sorted(path.parent for path in parent.glob(f"*/{ABOUT}"))


def machine_facts() -> dict[str, Any]:
    """Return properties of the machine and of the program that executes the run."""
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        # The arguments are left out, because they may contain passwords.
        "program": sys.argv[0][:500] if sys.argv else "",
    }


def _reference(thing: ProjectOut | Experiment | UUID | str | None) -> str | None:
    """Return a project or experiment as text; names are looked up when the run is sent."""
    if isinstance(thing, ProjectOut | Experiment):
        return str(thing.uuid)
    return None if thing is None else str(as_uuid(thing) or thing)

"""What a domain must say about its kind of task, registered by type in the composition root.

A task ends here, but what its end means (a model to register, a report to keep) is decided above:
the domain that owns the type gives a :class:`TaskKind`, and the queue calls it inside its own
transactions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.specs import TaskSpec
from aiplatform.server.core.questions import Question
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks.models import Task


@dataclass(frozen=True, slots=True)
class InputRef:
    """Lineage of one input: its role, a label that outlives the thing itself, and its hash."""

    role: str
    label: str
    content_hash: str | None = None
    dataset_version_id: int | None = None
    model_id: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A spec whose references were checked and pinned, and what it will read."""

    spec: TaskSpec
    inputs: list[InputRef] = field(default_factory=list)
    experiment_id: int | None = None
    model_id: int | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is laid out for the runtime: ``single`` files and ``trees`` of files, by role."""

    single: dict[str, StoredFile] = field(default_factory=dict)
    trees: dict[str, list[StoredFile]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended. ``files`` are the output directory's, already in the blob store;
    ``gathered`` is what the kind has made of the output before.
    """

    status: TaskStatus
    result: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    files: list[StoredFile] = field(default_factory=list)
    kept: Any = None
    """What :meth:`TaskKind.keep` gave."""


Write = Callable[[Callable[[Session], Any]], Any]
"""Does something in a transaction of the attempt, and waits where the database is away."""


class TaskKind:
    """One type of task. Methods run in the queue's transactions: they flush and never commit."""

    type: ClassVar[TaskType]
    permission: ClassVar[Permission] = Permission.TASKS_WRITE
    """What submitting one needs, beside ``tasks:write``."""
    started_through: ClassVar[str | None] = None
    """The resource that starts tasks of this type, when ``POST …/tasks`` does not."""
    serves: ClassVar[bool] = False
    """Whether the runtime listens for requests, and so needs an address and a token."""

    elsewhere: ClassVar[bool] = False
    """Whether it executes outside the platform, which can ask it to stop and nothing more."""

    announces_success: ClassVar[bool] = False
    """Whether ``finished`` tells the author of a success itself, in its domain's words."""

    checkpoints: ClassVar[bool] = False
    """Whether an attempt that stops can be gone on from; such tasks may be preempted."""

    shares_commit: ClassVar[bool] = False
    """Whether submissions may share a transaction with others'. Their :meth:`prepare` only reads,
    looks for no tasks, and locks against deletion at most."""

    @property
    def retriable(self) -> bool:
        """Whether a task that failed may be submitted again as it is."""
        return not self.serves and not self.elsewhere

    @property
    def hears_of_starts(self) -> bool:
        """Whether :meth:`started` does anything."""
        return type(self).started is not TaskKind.started

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Check on submission that the caller may use what ``spec`` names, and pin versions.

        Raises:
            NotFound: for what does not exist or belongs to another project.
        """
        raise NotImplementedError

    def look_ahead(self, context: ProjectContext, specs: Sequence[Any]) -> Sequence[Question]:  # noqa: ARG002  (overridden)
        """What :meth:`prepare` will ask for ``specs``, as far as that is known before."""
        return ()

    def retried(
        self,
        session: Session,
        context: ProjectContext,
        task: Task,
        *,
        override_gate: str | None = None,
    ) -> None:
        """``task`` is to be queued once more as it is; check what must hold anew by now.

        Args:
            override_gate: why a training goes on although its data fails the project's gate; of no
                matter to other kinds. The caller has checked that whoever gives it may.

        Raises:
            Problem: what a new submission would be refused for.
        """

    def queued_again(self, session: Session, task: Task, again: Task) -> None:
        """``again`` is the retry of ``task``; take over what stands beside the task."""

    def model_made(self, session: Session, task: Task, maker: Task) -> None:
        """``maker``, whose model ``task`` is to read, has completed; pin that model.

        Called in the transaction in which it ends, so before ``task`` can start.

        Raises:
            Problem: there is no such model; ``task`` fails for that.
        """

    def missed(self, task: Task, result: dict[str, Any]) -> str | None:
        """Why a task whose attempt succeeded fails all the same, and keeps its result."""

    def inputs(self, session: Session, task: Task) -> Inputs:
        """What the runtime of ``task`` reads."""
        raise NotImplementedError

    def started(self, session: Session, task_id: int) -> None:
        """An attempt was claimed; called in the claim's transaction, which others wait for."""

    def ready(self, session: Session, task: Task, endpoint: str, token: str) -> None:
        """The runtime accepts requests at ``endpoint`` from whoever shows ``token``."""

    def drain_seconds(self, session: Session, task_id: int) -> float | None:  # noqa: ARG002  (overridden)
        """Return how long a server that was cancelled may complete its answers, in seconds.

        Asked again while it does. None or 0: it is told to stop now.
        """
        return None

    def requeued(self, session: Session, task: Task) -> None:
        """An attempt ended before the task did, which waits for the next, or is paused."""

    def keep(self, write: Write, task: UUID, output: Path, result: dict[str, Any]) -> Any:
        """Put a successful attempt's output into the store in a way of the kind's own.

        Called before the transaction of :meth:`finished`, which gets what this returns. None: the
        files are stored one by one.

        Raises:
            Problem: it may not be kept; the task fails for that.
        """

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """The task reached its final status; called in the same transaction.

        Raises:
            Problem: what a completed one made may not be kept; it fails for that.
        """


_KINDS: dict[TaskType, TaskKind] = {}


def register(kind: TaskKind) -> None:
    """Make ``kind`` known to this process; the last registration of a type counts."""
    _KINDS[kind.type] = kind


def kind_of(task_type: str) -> TaskKind:
    """The kind of a type.

    Raises:
        KeyError: when the composition root did not register it, which is a fault of the program.
    """
    return _KINDS[TaskType(task_type)]

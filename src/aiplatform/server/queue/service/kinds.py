"""The interface between the queue and the domains that own the task types.

The queue ends a task, but a higher domain decides what follows, such as registering a model or
storing a report. That domain implements :class:`TaskKind`, and the composition root registers it.
The queue calls it inside its own transactions.

Domains that are interested in tasks of every kind register hooks instead: :func:`on_end_or_pause`
and :func:`on_points`. Hooks run often and inside the transaction of the change, so they must be
cheap: they check whether the task concerns them and do the work after the commit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.messages import Metrics
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.specs import TaskSpec
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task


@dataclass(frozen=True, slots=True)
class InputRef:
    """The lineage of one input: its role, its hash, and a label that outlives the input."""

    role: str
    label: str
    content_hash: str | None = None
    dataset_version_id: int | None = None
    model_id: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A spec whose references were checked and pinned, and the task's inputs.

    Pinned means that references to a dataset's current version or to a tag have been replaced by
    exact versions.
    """

    spec: TaskSpec
    inputs: list[InputRef] = field(default_factory=list)
    experiment_id: int | None = None
    model_id: int | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files that the runtime reads, by role: ``single`` files and whole ``trees``."""

    single: dict[str, StoredFile] = field(default_factory=dict)
    trees: dict[str, list[StoredFile]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a task.

    ``files`` are those of the output directory, already in the blob store.
    """

    status: TaskStatus
    result: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    files: list[StoredFile] = field(default_factory=list)
    stored_output: Any = None
    """The value that :meth:`TaskKind.store_output` returned."""


Write = Callable[[Callable[[Session], Any]], Any]
"""A function that runs another function in a transaction of the attempt, returning its result.

While the database is unreachable, it waits and retries.
"""


class TaskKind:
    """A task type. Its methods run in the queue's transactions: they flush and never commit."""

    type: ClassVar[TaskType]
    permission: ClassVar[Permission] = Permission.TASKS_WRITE
    """Permission that a submission requires, in addition to ``tasks:write``."""
    started_through: ClassVar[str | None] = None
    """Resource through which tasks of this type are started, if not by ``POST …/tasks``."""
    serves: ClassVar[bool] = False
    """True if the runtime answers requests, and so needs an address and a token."""

    external: ClassVar[bool] = False
    """True if tasks run outside the platform, which then can only ask them to stop."""

    announces_success: ClassVar[bool] = False
    """True if :meth:`finished` notifies the author of a success, so that the queue need not."""

    downloads: ClassVar[bool] = False
    """True if the runtime downloads models or data.

    If False, it gets no proxy settings, and its hub libraries run in offline mode.
    """

    runs_isolated: ClassVar[bool] = False
    """True if the runtime isolates the job, so that workers running as root may accept it."""

    checkpoints: ClassVar[bool] = False
    """True if a stopped attempt can be resumed; such tasks may be preempted."""

    looks_at_others: ClassVar[bool] = True
    """True if :meth:`prepare` reads other tasks.

    If so, this task and those before it in a batch are inserted before the next task is prepared.
    """

    @property
    def retriable(self) -> bool:
        """True if a failed task may be resubmitted unchanged."""
        return not self.serves and not self.external

    @property
    def handles_start(self) -> bool:
        """True if the class overrides :meth:`started`."""
        return type(self).started is not TaskKind.started

    def prepare(self, session: Session, context: ProjectContext, spec: Any) -> Prepared:
        """Check at submission that the caller may use the objects that ``spec`` names.

        The result refers to exact versions, so later changes of the objects don't affect it.

        Raises:
            NotFound: an object does not exist or belongs to another project.
        """
        raise NotImplementedError

    def check_retry(
        self,
        session: Session,
        context: ProjectContext,
        task: Task,
        *,
        override_gate: str | None = None,
    ) -> None:
        """Check ``task`` against the current rules before it is queued again unchanged.

        Args:
            session: the database session.
            context: the caller's access to the project.
            task: the task to retry.
            override_gate: the reason for training although the data fails the quality gate; other
                kinds ignore it. The caller has checked the permission.

        Raises:
            Problem: a new submission would be refused.
        """

    def copy_to_retry(self, session: Session, task: Task, again: Task) -> None:
        """Copy this domain's rows for ``task`` to its retry ``again``."""

    def model_made(self, session: Session, task: Task, maker: Task) -> None:
        """Pin the model of ``maker``, which has completed, as the model that ``task`` reads.

        Called in the transaction that ends ``maker``, before ``task`` can start.

        Raises:
            Problem: there is no such model; ``task`` then fails.
        """

    def failure_reason(self, task: Task, result: dict[str, Any]) -> str | None:
        """Return why a task must fail although its attempt succeeded, or None.

        The task keeps its result.
        """

    def processes(
        self,
        spec: dict[str, Any],  # noqa: ARG002  (overridden)
        gpus: int,  # noqa: ARG002
    ) -> int | None:
        """Return how many processes per node share the job, or None if it can't be shared.

        ``gpus`` is the number of GPUs that the attempt holds on this node.
        """
        return None

    def inputs(self, session: Session, task: Task) -> Inputs:
        """Return the files that the runtime of ``task`` reads."""
        raise NotImplementedError

    def started(self, session: Session, task_id: int) -> None:
        """Handle the claim of an attempt. Called in the claim's transaction, so it must be fast."""

    def ready(self, session: Session, task: Task, endpoint: str, token: str) -> None:
        """Handle the start of a server that accepts requests at ``endpoint`` with ``token``."""

    def drain_seconds(self, session: Session, task_id: int) -> float | None:  # noqa: ARG002  (overridden)
        """Return for how many seconds a cancelled server may still finish its responses.

        Called repeatedly until the server has stopped. If the result is None or 0, the server must
        stop now.
        """
        return None

    def requeued(self, session: Session, task: Task) -> None:
        """Handle the end of an attempt whose task is requeued or paused."""

    def store_output(self, write: Write, task: UUID, output: Path, result: dict[str, Any]) -> Any:
        """Store the output directory of a successful attempt, if this kind stores it itself.

        Called before the transaction of :meth:`finished`, which gets the returned value as
        ``stored_output``. If this returns None, the runner stores the files one by one.

        Raises:
            Problem: the output may not be stored; the task then fails.
        """

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        """Handle the task's final status, in the transaction that sets it.

        Raises:
            Problem: the output of a completed task may not be stored; the task then fails.
        """


_KINDS: dict[TaskType, TaskKind] = {}


def register(kind: TaskKind) -> None:
    """Register ``kind`` for this process; the last registration for a type wins."""
    _KINDS[kind.type] = kind


def kind_of(task_type: str) -> TaskKind:
    """Return the kind of a task type.

    Raises:
        KeyError: the composition root did not register the type, which is a bug.
    """
    return _KINDS[TaskType(task_type)]


StatusHook = Callable[[Session, Task], None]
PointsHook = Callable[[Session, Task, Sequence[Metrics]], None]

_status_hooks: list[StatusHook] = []
_points_hooks: list[PointsHook] = []


def on_end_or_pause(act: StatusHook) -> None:
    """Register ``act``, which is then called for every task that ends or pauses."""
    if act not in _status_hooks:
        _status_hooks.append(act)


def on_points(act: PointsHook) -> None:
    """Register ``act``, which is called after new metrics from a task's runtime were written."""
    if act not in _points_hooks:
        _points_hooks.append(act)


def run_status_hooks(session: Session, task: Task) -> None:
    """Call the hooks for a task that has ended or paused, after its status has changed."""
    status = TaskStatus(task.status)
    if status.is_final or status is TaskStatus.PAUSED:
        for act in _status_hooks:
            act(session, task)


def run_points_hooks(session: Session, task: Task, metrics: Sequence[Metrics]) -> None:
    """Call the hooks for a task's new points."""
    for act in _points_hooks:
        act(session, task, metrics)

"""Errors about tasks. All but ``LostLease`` are returned by the API as problem documents."""

from aiplatform.server.core.errors import Conflict, Invalid


class TaskFinished(Conflict):
    """The task has ended, so it can't be changed: a final status never changes."""

    code = "task.finished"


class WrongTaskType(Invalid):
    """Tasks of this type, such as training, can only be started through another route."""

    code = "task.wrong_type"


class NoWorkerCanRun(Invalid):
    """The task would wait forever, because no worker has the resources that it needs."""

    code = "task.no_worker_can_run"


class TaskNotWaiting(Conflict):
    """The task can't be reordered, because it is not waiting."""

    code = "task.not_waiting"


class NotInSameQueue(Invalid):
    """The target of the move belongs to another project or queue, or is not waiting."""

    code = "task.not_in_same_queue"


class NotPausable(Conflict):
    """A deployment or an external run can't be paused, only stopped."""

    code = "task.not_pausable"


class NotRetriable(Conflict):
    """The task has not failed or been cancelled, or has already been retried."""

    code = "task.not_retriable"


class DependencyFailed(Conflict):
    """The submission waits for the success of a task that has already failed."""

    code = "task.dependency_failed"


class TypeMakesNoModel(Invalid):
    """The spec refers to the model of a task whose type does not produce models."""

    code = "task.type_makes_no_model"


class ModelMissing(Conflict):
    """The training task has completed, but has no model, or no longer has one."""

    code = "task.model_missing"


class KeyReused(Conflict):
    """The Idempotency-Key has already been used for a different request."""

    code = "request.idempotency_key_reused"


class LostLease(Exception):
    """The attempt has lost its lease, so it may not write anything.

    Its fencing number is out of date: another attempt may be running the task by now.
    """

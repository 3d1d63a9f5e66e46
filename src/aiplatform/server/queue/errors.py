"""Errors about tasks. All but ``LostLease`` are returned by the API as problem documents."""

from aiplatform.server.core.errors import Conflict, Invalid


class TaskFinished(Conflict):
    """A change to a task that has ended: a final status never changes."""

    code = "task.finished"


class WrongTaskType(Invalid):
    """A direct submission of a task type that only another route can start, such as training."""

    code = "task.wrong_type"


class NoWorkerCanRun(Invalid):
    """A submission that would wait forever because no worker has the resources."""

    code = "task.no_worker_can_run"


class TaskNotWaiting(Conflict):
    """An attempt to reorder a task that is not waiting."""

    code = "task.not_waiting"


class NotInSameQueue(Invalid):
    """A move before a task that belongs to another project or queue, or is not waiting."""

    code = "task.not_in_same_queue"


class NotPausable(Conflict):
    """A request to pause a deployment or an external run, which can only be stopped."""

    code = "task.not_pausable"


class NotRetriable(Conflict):
    """A retry of a task that has not failed or been cancelled, or that has already been retried."""

    code = "task.not_retriable"


class DependencyFailed(Conflict):
    """A submission that waits for the success of a task that has already failed."""

    code = "task.dependency_failed"


class TypeMakesNoModel(Invalid):
    """A reference to the model of a task whose type does not produce models."""

    code = "task.type_makes_no_model"


class ModelMissing(Conflict):
    """A reference to the model of a completed training task that has no model, or no longer one."""

    code = "task.model_missing"


class KeyReused(Conflict):
    """An Idempotency-Key that has already been used for a different request."""

    code = "request.idempotency_key_reused"


class LostLease(Exception):
    """A write by an attempt whose fencing number is out of date.

    Another attempt may be running the task by now.
    """

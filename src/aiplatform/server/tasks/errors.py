"""Errors of tasks. Except for ``LostLease``, the API answers them as problems."""

from aiplatform.server.core.errors import Conflict, Invalid


class TaskFinished(Conflict):
    """A change to a task that has ended: a final status never changes."""

    code = "task_finished"
    title = {"en": "Task has ended", "zh": "任务已结束"}
    detail = {
        "en": "The task has already ended as {task_status} and can't be changed.",
        "zh": "任务已结束（状态 {task_status}），无法更改。",
    }


class WrongTaskType(Invalid):
    """A submission of a task whose type is started through a resource of its own."""

    code = "wrong_task_type"
    title = {"en": "Wrong place for this task", "zh": "提交位置不正确"}
    detail = {
        "en": "Tasks of type {task_type} can't be submitted here. Start them through {resource}.",
        "zh": "类型为 {task_type} 的任务不能在此提交，请通过 {resource} 启动。",
    }


class NoWorkerCanRun(Invalid):
    """A submission that would wait for ever because no worker has the resources."""

    code = "no_worker_can_run"
    title = {"en": "No worker can run this", "zh": "没有 worker 可以运行"}
    detail = {
        "en": "No worker can run this task: {missing}. Ask for fewer resources, or add a worker.",
        "zh": "没有任何 worker 能运行此任务：{missing}。请降低资源需求或增加 worker。",
    }


class TaskNotWaiting(Conflict):
    """A change of the queue order for a task that does not wait."""

    code = "task_not_waiting"
    title = {"en": "Task is not waiting", "zh": "任务不在等待"}
    detail = {
        "en": "The task is {task_status}. Its priority and place in the queue can be changed "
        "only while it is waiting.",
        "zh": "任务状态为 {task_status}；仅等待中的任务可以更改优先级和位置。",
    }


class NotInSameQueue(Invalid):
    """A move before a task of another project or queue, or before one that does not wait."""

    code = "not_its_neighbour"
    title = {"en": "Not in the same queue", "zh": "不在同一队列"}
    detail = {
        "en": "A task can only be moved before another waiting task of the same queue and "
        "project. Choose such a task.",
        "zh": "任务只能移到同一项目、同一队列中另一个等待的任务之前，请选择这样的任务。",
    }


class NotPausable(Conflict):
    """A request to pause a deployment or an external run, which can only be stopped."""

    code = "not_pausable"
    title = {"en": "Can't be paused", "zh": "无法暂停"}
    detail = {
        "en": "Tasks of type {task_type} can't be paused. Stop a deployment, or cancel a run.",
        "zh": "类型为 {task_type} 的任务无法暂停；请停止部署或取消运行。",
    }


class NotRetriable(Conflict):
    """A retry of a task that has not failed or been cancelled, or that has been retried before."""

    code = "not_retriable"
    title = {"en": "Can't be retried", "zh": "无法重试"}
    detail = {
        "en": "The task can't be retried: {reason}.",
        "zh": "任务无法重试：{reason}。",
    }


class DependencyFailed(Conflict):
    """A submission that would wait for the success of a task that has already failed."""

    code = "dependency_failed"
    title = {"en": "Dependency has failed", "zh": "依赖的任务未成功"}
    detail = {
        "en": "The task {name} has ended as {task_status}, so nothing can wait for its "
        "success. Retry it first; later tasks then wait for the retry.",
        "zh": "任务 {name} 已结束（状态 {task_status}），无法再等待其成功。"
        "请先重试该任务；后续任务等待的是重试后的任务。",
    }


class TypeMakesNoModel(Invalid):
    """A reference to the model of a task whose type makes no model."""

    code = "makes_no_model"
    title = {"en": "Not a training", "zh": "不是训练任务"}
    detail = {
        "en": "The task {name} has the type {task_type}, which makes no model. Name a "
        "training, or an existing model.",
        "zh": "任务 {name} 的类型为 {task_type}。请指定训练任务，或已存在的模型。",
    }


class ModelMissing(Conflict):
    """A reference to the model of a completed training that left none, or whose model is gone."""

    code = "made_no_model"
    title = {"en": "The training left no model", "zh": "任务没有模型"}
    detail = {
        "en": "The training {name} has completed, but its model does not exist. If it was "
        "deleted, restore it, or name another model.",
        "zh": "训练 {name} 已完成，但没有对应的模型，可能已被删除。请恢复该模型，或指定其他模型。",
    }


class KeyReused(Conflict):
    """An Idempotency-Key that was used for a different request before."""

    code = "idempotency_key_reused"
    title = {"en": "Key used for another request", "zh": "幂等键已用于其他请求"}
    detail = {
        "en": "This Idempotency-Key was already used for a different request. Use a new key.",
        "zh": "该 Idempotency-Key 之前已用于内容不同的请求，请使用新的键。",
    }


class MalformedPoints(Invalid):
    """A request whose points can't be read."""

    code = "malformed_points"
    title = {"en": "Invalid points", "zh": "指标数据无效"}
    detail = {
        "en": "The points can't be read: {reason}.",
        "zh": "无法读取指标数据：{reason}。",
    }


class RecordsMissing(Conflict):
    """A gap in a writer's numbered records. They are stored in order, so that none is lost."""

    code = "records_missing"
    title = {"en": "Earlier records are missing", "zh": "缺少之前的记录"}
    detail = {
        "en": "Record {expected} of this writer is expected next. Send the records from there.",
        "zh": "该写入方的下一条记录应为第 {expected} 条，请从该处开始发送。",
    }


class NotReportedHere(Conflict):
    """A report about a task that a worker runs. Only the worker may report, under its lease."""

    code = "not_reported_here"
    title = {"en": "A worker reports for this task", "zh": "该任务由 worker 上报"}
    detail = {
        "en": "Tasks of type {task_type} run on a worker, which reports for them. Only "
        "external runs can report here.",
        "zh": "类型为 {task_type} 的任务由 worker 运行并上报；只有在外部执行的运行才在此上报。",
    }


class NothingToCompare(Invalid):
    """A comparison that names neither tasks nor an experiment."""

    code = "nothing_to_compare"
    title = {"en": "Nothing to compare", "zh": "未指定比较对象"}
    detail = {
        "en": "Name the tasks to compare in `task`, or their `experiment`.",
        "zh": "请用 task 指定要比较的任务，或用 experiment 指定实验。",
    }


class LostLease(Exception):
    """The attempt's fencing number is out of date: another attempt may be running the task."""


class ArtifactPathRefused(Invalid):
    """An artifact path that can't be used as a file name by those who download it."""

    code = "artifact_path_refused"
    title = {"en": "Invalid path", "zh": "路径无效"}
    detail = {
        "en": "The path {path!r} can't be used: {reason}.",
        "zh": "路径 {path!r} 无效：{reason}。",
    }


class TooManyArtifacts(Conflict):
    """An artifact beyond the number of files that a run may have."""

    code = "too_many_artifacts"
    title = {"en": "Too many artifacts", "zh": "产物过多"}
    detail = {
        "en": "A run has at most {limit} artifacts. Pack many small files into one archive.",
        "zh": "一次运行最多保存 {limit} 个产物，请将大量小文件打包成一个。",
    }

"""What can go wrong with tasks."""

from aiplatform.server.core.errors import Conflict, Invalid


class TaskFinished(Conflict):
    """A final status does not change."""

    code = "task_finished"
    title = {"en": "Task has ended", "zh": "任务已结束"}
    detail = {
        "en": "The task has ended with status {task_status} and can't be changed.",
        "zh": "任务已结束（状态 {task_status}），无法更改。",
    }


class WrongTaskType(Invalid):
    """Some types of task are made through a resource of their own."""

    code = "wrong_task_type"
    title = {"en": "Not submitted here", "zh": "提交位置不正确"}
    detail = {
        "en": "Tasks of type {task_type} are started through {resource}.",
        "zh": "类型为 {task_type} 的任务需要通过 {resource} 启动。",
    }


class LostLease(Exception):
    """The attempt's fence is not the task's any more: somebody else may be running it."""

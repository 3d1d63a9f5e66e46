"""Base classes of errors that users see, with a status, a stable code, and texts in two languages.

The texts say what is wrong and what to do. Each domain's ``errors.py`` derives from
:class:`Problem`; :mod:`aiplatform.server.core.problems` renders them as RFC 9457 problem documents.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

Language = Literal["en", "zh"]


NOUNS = {
    "API key": "API 密钥",
    "artifact": "产物",
    "bin item": "回收站内容",
    "checkpoint": "检查点",
    "code bundle": "代码包",
    "dataset": "数据集",
    "delivery": "投递记录",
    "dataset version": "数据集版本",
    "deployment": "部署",
    "experiment": "实验",
    "file": "文件",
    "invitation": "邀请",
    "member": "成员",
    "model": "模型",
    "notification": "通知",
    "preferences": "偏好设置",
    "project": "项目",
    "report": "报告",
    "role": "角色",
    "run": "运行",
    "session": "会话",
    "sweep": "超参数搜索",
    "tag": "标签",
    "schedule": "定时计划",
    "secret": "机密",
    "task": "任务",
    "upload": "上传",
    "user": "用户",
    "version": "版本",
    "webhook": "Webhook",
    "worker": "worker",
}
"""Chinese names for the values of ``resource`` in problems."""


class Problem(Exception):
    """An error with a status code, a stable ``code`` and texts in both languages.

    The keyword arguments fill the ``detail`` templates, and are also fields of the problem
    document.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[dict[Language, str]] = {"en": "Internal error", "zh": "内部错误"}
    detail: ClassVar[dict[Language, str]] = {
        "en": "The server failed. The log has the cause under the request id.",
        "zh": "服务器出错。可凭请求编号在日志中查找原因。",
    }
    headers: ClassVar[dict[str, str]] = {}
    also: Mapping[Language, str] | None = None
    """Sentence that is appended to the detail, by language."""

    def __init__(self, **params: Any) -> None:
        self.params = params
        super().__init__(self.text("en"))

    def text(self, language: Language) -> str:
        """Return the detail in ``language``; in Chinese, a parameter ``x_zh`` replaces ``x``."""
        params = dict(self.params)
        if language == "zh":
            params["resource"] = NOUNS.get(params.get("resource", ""), params.get("resource"))
            for key in list(params):
                if f"{key}_zh" in params:
                    params[key] = params[f"{key}_zh"]
        detail = self.detail[language].format_map(params)
        return detail if self.also is None else f"{detail} {self.also[language]}"


class NotFound(Problem):
    """A resource that does not exist, or that the user may not see.

    Members of other projects get the same answer, because even the existence of a thing is
    confidential.
    """

    status = 404
    code = "not_found"
    title = {"en": "Not found", "zh": "未找到"}
    detail = {
        "en": "There is no such {resource}, or you may not see it. Check its name or uuid.",
        "zh": "{resource} 不存在，或您无权查看。请检查名称或 uuid。",
    }


class Conflict(Problem):
    """A request that the current state of the resource does not allow."""

    status = 409
    code = "conflict"
    title = {"en": "Conflict", "zh": "冲突"}
    detail = {"en": "{reason}", "zh": "{reason}"}


class NameTaken(Conflict):
    """A name that must be unique and is already used."""

    code = "name_taken"
    title = {"en": "Name taken", "zh": "名称已被占用"}
    detail = {
        "en": "A {resource} named {name!r} already exists. Choose another name.",
        "zh": "名为 {name!r} 的 {resource} 已存在，请换一个名称。",
    }


class Invalid(Problem):
    """A request that is well-formed but asks for something impossible."""

    status = 422
    code = "invalid"
    title = {"en": "Invalid request", "zh": "请求无效"}
    detail = {"en": "{reason}", "zh": "{reason}"}


class InvalidCursor(Invalid):
    """A cursor that this server did not create."""

    code = "invalid_cursor"
    title = {"en": "Invalid cursor", "zh": "游标无效"}
    detail = {
        "en": "The cursor was not returned by this list. Start again without a cursor.",
        "zh": "游标不是由该列表返回的，请去掉游标重新开始。",
    }


class PreconditionRequired(Problem):
    """An update without ``If-Match``, which could overwrite another user's change."""

    status = 428
    code = "precondition_required"
    title = {"en": "If-Match required", "zh": "需要 If-Match"}
    detail = {
        "en": "Send the ETag of the resource in the header If-Match, so that you don't "
        "overwrite another change.",
        "zh": "请在 If-Match 中发送资源的 ETag，以免覆盖他人的修改。",
    }


class PreconditionFailed(Problem):
    """An update of a resource that has changed since it was read."""

    status = 412
    code = "precondition_failed"
    title = {"en": "Changed meanwhile", "zh": "资源已被修改"}
    detail = {
        "en": "The {resource} has changed since you read it. Read it again, and repeat your "
        "change.",
        "zh": "{resource} 在您读取之后已被修改，请重新读取后再修改。",
    }


class TooLarge(Problem):
    """A request body over the configured limit."""

    status = 413
    code = "too_large"
    title = {"en": "Request too large", "zh": "请求过大"}
    detail = {
        "en": "The request is larger than the limit of {limit} bytes. Send less at once.",
        "zh": "请求超过了 {limit} 字节的上限，请减少一次发送的内容。",
    }


class InsufficientStorage(Problem):
    """A disk of the server that is too full to store the request's data."""

    status = 507
    code = "insufficient_storage"
    title = {"en": "Storage full", "zh": "存储空间已满"}
    detail = {
        "en": "The server has no space left to store this. Delete something, or ask an "
        "administrator to add space.",
        "zh": "服务器存储空间不足，请清理空间或联系管理员。",
    }


class Unavailable(Problem):
    """A service that the request needs and that does not answer."""

    status = 503
    code = "unavailable"
    title = {"en": "Temporarily unavailable", "zh": "暂时不可用"}
    detail = {
        "en": "{service} does not answer at the moment. Nothing was lost. Try again shortly.",
        "zh": "{service} 暂时没有响应。数据没有丢失，请稍后重试。",
    }
    headers = {"Retry-After": "2"}

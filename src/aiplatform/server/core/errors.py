"""Base classes for errors that users see, with a status, a stable code, and texts in two languages.

The texts say what is wrong and what to do; they are in ``server/problems.toml``. Each domain's
``errors.py`` derives from :class:`Problem`; :mod:`aiplatform.server.core.problems` renders them as
RFC 9457 problem documents.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

Language = Literal["en", "zh"]
Texts = dict[Language, str]


NOUNS = {
    "API key": "API 密钥",
    "artifact": "产物",
    "alias": "别名",
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
    "saved view": "视图",
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


def _read_catalogue() -> dict[str, dict[str, Texts]]:
    """Return the title and the detail of each problem, by code."""
    with (Path(__file__).parents[1] / "problems.toml").open("rb") as file:
        areas = tomllib.load(file)
    return {
        f"{area}.{reason}": texts
        for area, codes in areas.items()
        for reason, texts in codes.items()
    }


CATALOGUE = _read_catalogue()
"""Titles and details of all problems, by code; see ``server/problems.toml``."""


class Problem(Exception):
    """An error with a status code, a stable ``code`` and texts in both languages.

    A class that sets ``code`` gets its texts from the catalogue. A class without a code groups
    others and can't be raised itself. The keyword arguments fill the placeholders in the
    detail, and are included as fields in the problem document.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str]
    title: ClassVar[Texts]
    detail: ClassVar[Texts]
    headers: ClassVar[dict[str, str]] = {}
    also: Mapping[Language, str] | None = None
    """Sentence appended to the detail, by language."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" in vars(cls):
            cls.title, cls.detail = CATALOGUE[cls.code]["title"], CATALOGUE[cls.code]["detail"]

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


class InternalError(Problem):
    """A fault in the server."""

    code = "server.internal_error"


class NotFound(Problem):
    """The resource does not exist, or the user may not see it.

    Members of other projects get the same response, because even the existence of a resource is
    confidential.
    """

    status = 404
    code = "resource.not_found"


class Conflict(Problem):
    """The current state of the resource does not allow the request."""

    status = 409


class NameTaken(Conflict):
    """The name must be unique, but is already in use."""

    code = "resource.name_taken"


class Invalid(Problem):
    """The request is well-formed but asks for something impossible."""

    status = 422


class InvalidCursor(Invalid):
    """A cursor that this server did not create."""

    code = "request.invalid_cursor"


class PreconditionRequired(Problem):
    """The update lacks ``If-Match`` and could overwrite another user's change."""

    status = 428
    code = "request.precondition_required"


class PreconditionFailed(Problem):
    """The resource has changed since it was read."""

    status = 412
    code = "resource.precondition_failed"


class TooLarge(Problem):
    """The request body exceeds the configured limit."""

    status = 413
    code = "request.too_large"


class InsufficientStorage(Problem):
    """A disk of the server is too full to store the request's data."""

    status = 507
    code = "server.storage_full"


class Unavailable(Problem):
    """A service that the request needs does not respond."""

    status = 503
    code = "server.unavailable"
    headers = {"Retry-After": "2"}


class InvalidFilePath(Invalid):
    """A file path that could be unsafe for a program that stores the file under this path."""

    code = "file.invalid_path"

"""The permissions, in alphabetical order.

A role contains permissions, ``resource:*`` for all actions on a resource, or ``*`` for all
permissions. Some permissions concern projects; the others concern the administration of the
platform. A role granted in a project only confers permissions of the first kind, even if it
contains ``*``.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal


class Permission(StrEnum):
    """A permission, as ``resource:action``."""

    AUDIT_READ = "audit:read"
    DATASETS_OVERRIDE = "datasets:override"
    DATASETS_READ = "datasets:read"
    DATASETS_WRITE = "datasets:write"
    INFERENCE_READ = "inference:read"
    INFERENCE_WRITE = "inference:write"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    ROLES_READ = "roles:read"
    ROLES_WRITE = "roles:write"
    SECRETS_USE = "secrets:use"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    TRAINING_READ = "training:read"
    TRAINING_WRITE = "training:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"

    @property
    def reaches_projects(self) -> bool:
        """True if a role granted in a project may contain the permission."""
        return self.partition(":")[0] in PROJECT_RESOURCES


SystemRoleName = Literal["admin", "developer", "viewer"]
"""The names of the roles that every platform has and that can't be changed."""

SYSTEM_ROLES: dict[SystemRoleName, tuple[str, str]] = {
    "admin": ("Administrator, with every permission", "超级管理员，拥有所有权限"),
    "developer": (
        "Developer, who works with data, trains models and deploys them",
        "开发者，可访问训练和推理",
    ),
    "viewer": ("Viewer, who may read and change nothing", "查看者，仅有读取权限"),
}
"""Purpose of each system role, in English and Chinese. The database stores the Chinese text."""

WILDCARD = "*"
PROJECT_RESOURCES = frozenset(
    {"datasets", "inference", "members", "models", "projects", "secrets", "tasks", "training"}
)

RESOURCES = frozenset(permission.partition(":")[0] for permission in Permission)
_KNOWN = frozenset(Permission) | {WILDCARD} | {f"{name}:{WILDCARD}" for name in RESOURCES}


def is_permission(text: str) -> bool:
    """Return True if a role or key may contain the text: a permission, ``resource:*``, or ``*``."""
    return text in _KNOWN


def grants(held: Iterable[str], wanted: Permission) -> bool:
    """Return True if a role that contains ``held`` grants ``wanted``."""
    resource = wanted.partition(":")[0]
    return not {WILDCARD, f"{resource}:{WILDCARD}", str(wanted)}.isdisjoint(held)


def covers(held: Iterable[str], wanted: str) -> bool:
    """Return True if ``held`` includes everything in ``wanted``, which may itself end in ``*``."""
    return not {WILDCARD, f"{wanted.partition(':')[0]}:{WILDCARD}", wanted}.isdisjoint(held)


def intersection(held: Iterable[str], scopes: Iterable[str]) -> frozenset[str]:
    """Return the permissions that are in both sets, which may contain ``*`` and ``resource:*``."""
    first, second = frozenset(held), frozenset(scopes)
    return frozenset(
        {one for one in first if covers(second, one)}
        | {one for one in second if covers(first, one)}
    )


DESCRIPTIONS: dict[Permission, tuple[str, str]] = {
    Permission.AUDIT_READ: ("Read and export the audit trail", "查看和导出审计日志"),
    Permission.DATASETS_OVERRIDE: (
        "Set the project's quality gate, and train in spite of it",
        "设置项目的质量门禁，并可在未通过时仍然训练",
    ),
    Permission.DATASETS_READ: (
        "Read datasets, their versions and reports", "查看数据集、版本和质量报告"
    ),
    Permission.DATASETS_WRITE: (
        "Upload, change and delete datasets", "上传、修改和删除数据集"
    ),
    Permission.INFERENCE_READ: ("Ask deployed models", "查看部署并调用模型"),
    Permission.INFERENCE_WRITE: ("Deploy, start and stop models", "部署、启动和停止模型"),
    Permission.MEMBERS_READ: ("See who is in the project", "查看项目成员"),
    Permission.MEMBERS_WRITE: (
        "Give and take roles in the project", "授予和收回项目内的角色"
    ),
    Permission.MODELS_READ: ("Read and download models", "查看和下载模型"),
    Permission.MODELS_WRITE: ("Import, change and delete models", "导入、修改和删除模型"),
    Permission.PROJECTS_READ: ("See the project", "查看项目"),
    Permission.PROJECTS_WRITE: (
        "Change the project; outside projects: create some", "修改项目；在项目之外：创建项目"
    ),
    Permission.ROLES_READ: ("See where roles are in use", "查看角色的使用情况"),
    Permission.ROLES_WRITE: ("Create, change and delete roles", "创建、修改和删除角色"),
    Permission.SECRETS_USE: (
        "Give tasks secrets of one's own; only API keys need it",
        "让任务使用自己的机密（仅 API 密钥需要此权限）",
    ),
    Permission.SETTINGS_READ: ("Read settings and metrics of the platform", "查看平台设置和指标"),
    Permission.SETTINGS_WRITE: ("Change settings of the platform", "修改平台设置"),
    Permission.TASKS_READ: ("Watch tasks and read their logs", "查看任务及其日志"),
    Permission.TASKS_WRITE: ("Submit and cancel tasks", "提交和取消任务"),
    Permission.TRAINING_READ: ("Read experiments and their runs", "查看实验及其运行"),
    Permission.TRAINING_WRITE: (
        "Create, change and run experiments", "创建、修改和运行实验"
    ),
    Permission.USERS_READ: ("See all accounts", "查看所有账号"),
    Permission.USERS_WRITE: (
        "Create, change, deactivate and delete accounts", "创建、修改、停用和删除账号"
    ),
}  # fmt: skip
"""Purpose of each permission, in English and Chinese."""

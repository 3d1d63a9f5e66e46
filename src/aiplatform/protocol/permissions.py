"""The vocabulary of permissions, in one place, in alphabetical order.

A role holds strings of this vocabulary, ``resource:*`` for all actions of a resource, or ``*`` for
all. Some reach into projects, the others administer the platform; a role granted in a project
reaches only the former, even when it is ``*``.
"""

from collections.abc import Iterable
from enum import StrEnum


class Permission(StrEnum):
    """``resource:action``."""

    AUDIT_READ = "audit:read"
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
        """True for permissions that a role granted in a project may carry."""
        return self.partition(":")[0] in PROJECT_RESOURCES


WILDCARD = "*"
PROJECT_RESOURCES = frozenset(
    {"datasets", "inference", "members", "models", "projects", "tasks", "training"}
)


def grants(held: Iterable[str], wanted: Permission) -> bool:
    """Whether a role that holds ``held`` grants ``wanted``."""
    resource = wanted.partition(":")[0]
    return not {WILDCARD, f"{resource}:{WILDCARD}", str(wanted)}.isdisjoint(held)

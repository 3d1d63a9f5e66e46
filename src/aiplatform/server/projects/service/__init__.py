"""Use cases for projects and their members."""

from aiplatform.server.projects.service.accounts import (
    OnTransfer,
    check_invitation,
    describe_projects,
    has_more_permissions,
    join_invited,
    on_transfer,
    transfer_projects_of,
)
from aiplatform.server.projects.service.bin import purge_overdue
from aiplatform.server.projects.service.explanation import Explanation, Reason, explain
from aiplatform.server.projects.service.keys import create_key, revoke_key
from aiplatform.server.projects.service.members import (
    accept,
    decline,
    leave,
    remove_member,
    set_member,
    transfer,
)
from aiplatform.server.projects.service.projects import (
    OnDelete,
    create_project,
    delete_project,
    on_archive,
    on_delete,
    set_archived,
    update_project,
)

__all__ = [
    "Explanation",
    "OnDelete",
    "OnTransfer",
    "Reason",
    "accept",
    "check_invitation",
    "create_key",
    "create_project",
    "decline",
    "delete_project",
    "describe_projects",
    "explain",
    "has_more_permissions",
    "join_invited",
    "leave",
    "on_archive",
    "on_delete",
    "on_transfer",
    "purge_overdue",
    "remove_member",
    "revoke_key",
    "set_archived",
    "set_member",
    "transfer",
    "transfer_projects_of",
    "update_project",
]

"""What can go wrong with projects and members."""

from aiplatform.server.core.errors import Conflict


class ProjectArchived(Conflict):
    """Archived projects are read-only."""

    code = "project_archived"
    title = {"en": "Project archived", "zh": "项目已归档"}
    detail = {
        "en": "The project is archived and read-only. Reactivate it first.",
        "zh": "项目已归档，只能读取。请先重新启用项目。",
    }


class OwnerIsNoMember(Conflict):
    """The owner holds everything in the project; no role can add to that or take from it."""

    code = "owner_is_no_member"
    title = {"en": "Owner of the project", "zh": "项目所有者"}
    detail = {
        "en": "{username} owns the project and holds all permissions in it.",
        "zh": "{username} 是项目所有者，拥有该项目的全部权限。",
    }

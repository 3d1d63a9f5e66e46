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

"""What both composition roots plug together: task kinds, and what follows a project's deletion."""

from aiplatform.server.datasets import jobs as datasets_jobs
from aiplatform.server.experiments import jobs as experiments_jobs
from aiplatform.server.inference import jobs as inference_jobs
from aiplatform.server.projects import service as projects_service
from aiplatform.server.registry import jobs as registry_jobs
from aiplatform.server.tasks.service import cancel_project_tasks


def compose() -> None:
    """Register everything that a lower domain must cause in a higher one."""
    for domain in (datasets_jobs, registry_jobs, experiments_jobs, inference_jobs):
        domain.register()
    projects_service.on_delete(cancel_project_tasks)

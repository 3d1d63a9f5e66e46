"""Guards for deployments."""

from aiplatform.protocol.permissions import Permission
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.access import ProjectGuard, ResourcePath

DEPLOYMENT = ResourcePath(Deployment.uuid, Deployment.project_id, "deployment", "deployment")

LIST = ProjectGuard(Permission.INFERENCE_READ)
CREATE = ProjectGuard(Permission.INFERENCE_WRITE)
READ = ProjectGuard(Permission.INFERENCE_READ, DEPLOYMENT)
CHANGE = ProjectGuard(Permission.INFERENCE_WRITE, DEPLOYMENT)
# Deployments in archived projects can still be stopped.
STOP = ProjectGuard(Permission.INFERENCE_WRITE, DEPLOYMENT, writes=False)

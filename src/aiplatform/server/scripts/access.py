"""Permission guards for code bundles."""

from aiplatform.protocol.permissions import Permission
from aiplatform.server.projects.access import ProjectGuard, ResourcePath, confirm
from aiplatform.server.scripts.models import CodeBundle

BUNDLE = ResourcePath(CodeBundle.uuid, CodeBundle.project_id, "bundle", "code bundle")

LIST = ProjectGuard(Permission.TRAINING_READ)
CREATE = ProjectGuard(Permission.TRAINING_WRITE)
READ = ProjectGuard(Permission.TRAINING_READ, BUNDLE)
DELETE = ProjectGuard(Permission.TRAINING_WRITE, BUNDLE)

__all__ = ["BUNDLE", "CREATE", "DELETE", "LIST", "READ", "confirm"]

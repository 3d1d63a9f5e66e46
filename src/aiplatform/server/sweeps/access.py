"""Guards for sweeps."""

from aiplatform.protocol.permissions import Permission
from aiplatform.server.projects.access import ProjectGuard, ResourcePath
from aiplatform.server.sweeps.models import Sweep

SWEEP = ResourcePath(Sweep.uuid, Sweep.project_id, "sweep", "sweep")

LIST = ProjectGuard(Permission.TRAINING_READ)
CREATE = ProjectGuard(Permission.TRAINING_WRITE)
READ = ProjectGuard(Permission.TRAINING_READ, SWEEP)
REGISTER = ProjectGuard(Permission.MODELS_WRITE, SWEEP)
CANCEL = ProjectGuard(Permission.TRAINING_WRITE, SWEEP, writes=False)

"""Guards of experiments."""

from aiplatform.protocol.permissions import Permission
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.projects.access import ProjectGuard, Via

EXPERIMENT = Via(Experiment.uuid, Experiment.project_id, "experiment", "experiment")

LIST = ProjectGuard(Permission.TRAINING_READ)
CREATE = ProjectGuard(Permission.TRAINING_WRITE)
READ = ProjectGuard(Permission.TRAINING_READ, EXPERIMENT)
CHANGE = ProjectGuard(Permission.TRAINING_WRITE, EXPERIMENT)

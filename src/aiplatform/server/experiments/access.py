"""Guards for experiments and their runs."""

from aiplatform.protocol.permissions import Permission
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.projects.access import ProjectGuard, ResourcePath
from aiplatform.server.queue.models import Task

EXPERIMENT = ResourcePath(Experiment.uuid, Experiment.project_id, "experiment", "experiment")
RUN = ResourcePath(Task.uuid, Task.project_id, "run", "run")

ESTIMATE = ResourcePath(Task.uuid, Task.project_id, "estimate", "estimate")

LIST = ProjectGuard(Permission.TRAINING_READ)
CREATE = ProjectGuard(Permission.TRAINING_WRITE)
READ = ProjectGuard(Permission.TRAINING_READ, EXPERIMENT)
CHANGE = ProjectGuard(Permission.TRAINING_WRITE, EXPERIMENT)
READ_RUN = ProjectGuard(Permission.TRAINING_READ, RUN)
READ_ESTIMATE = ProjectGuard(Permission.TRAINING_READ, ESTIMATE)
RERUN = ProjectGuard(Permission.TRAINING_WRITE, RUN)

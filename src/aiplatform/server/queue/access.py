"""Guards of the routes for tasks: who may read, submit, change and stop them."""

from aiplatform.protocol.permissions import Permission
from aiplatform.server.projects.access import ProjectGuard, ResourcePath
from aiplatform.server.queue.models import Task

TASK = ResourcePath(Task.uuid, Task.project_id, "task", "task")

LIST = ProjectGuard(Permission.TASKS_READ)
SUBMIT = ProjectGuard(Permission.TASKS_WRITE)
READ = ProjectGuard(Permission.TASKS_READ, TASK)
UPDATE = ProjectGuard(Permission.TASKS_WRITE, TASK)
# Stopping work in an archived project must stay possible.
CANCEL = ProjectGuard(Permission.TASKS_WRITE, TASK, writes=False)

"""Guards for the task routes, which decide who may read, submit, change and stop tasks."""

from aiplatform.protocol.permissions import Permission
from aiplatform.server.projects.access import ProjectGuard, ResourcePath
from aiplatform.server.queue.models import Task

TASK = ResourcePath(Task.uuid, Task.project_id, "task", "task")

LIST = ProjectGuard(Permission.TASKS_READ)
SUBMIT = ProjectGuard(Permission.TASKS_WRITE)
READ = ProjectGuard(Permission.TASKS_READ, TASK)
UPDATE = ProjectGuard(Permission.TASKS_WRITE, TASK)
# Users must be able to stop work in an archived project.
CANCEL = ProjectGuard(Permission.TASKS_WRITE, TASK, writes=False)

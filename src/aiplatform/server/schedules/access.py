"""Permission guards for schedules."""

from aiplatform.protocol.permissions import Permission
from aiplatform.server.projects.access import ProjectGuard, ResourcePath
from aiplatform.server.schedules.models import Schedule

SCHEDULE = ResourcePath(Schedule.uuid, Schedule.project_id, "schedule", "schedule")

LIST = ProjectGuard(Permission.TASKS_READ)
CREATE = ProjectGuard(Permission.TASKS_WRITE)
READ = ProjectGuard(Permission.TASKS_READ, SCHEDULE)
CHANGE = ProjectGuard(Permission.TASKS_WRITE, SCHEDULE)

from aiplatform.server.tasks.service.kinds import *  # noqa: F403

"""Request bodies of projects, members, quotas, the bin, webhooks and API keys."""

from aiplatform.server.projects.schemas.access import TransferIn
from aiplatform.server.projects.schemas.keys import KeyIn
from aiplatform.server.projects.schemas.members import MemberIn
from aiplatform.server.projects.schemas.projects import ProjectIn, ProjectPatch

__all__ = [
    "KeyIn",
    "MemberIn",
    "ProjectIn",
    "ProjectPatch",
    "TransferIn",
]

"""Request and answer bodies of projects, members, quotas, the bin, webhooks and API keys."""

from aiplatform.server.projects.schemas.access import (
    AccessOut,
    HeldOut,
    KeyAccessOut,
    ReasonOut,
    TransferIn,
)
from aiplatform.server.projects.schemas.keys import KeyIn, KeyOut, NewKeyOut
from aiplatform.server.projects.schemas.members import InvitationOut, MemberIn, MemberOut
from aiplatform.server.projects.schemas.projects import ProjectIn, ProjectOut, ProjectPatch

__all__ = [
    "AccessOut",
    "HeldOut",
    "InvitationOut",
    "KeyAccessOut",
    "KeyIn",
    "KeyOut",
    "MemberIn",
    "MemberOut",
    "NewKeyOut",
    "ProjectIn",
    "ProjectOut",
    "ProjectPatch",
    "ReasonOut",
    "TransferIn",
]

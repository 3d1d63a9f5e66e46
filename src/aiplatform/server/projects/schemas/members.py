"""Request and answer bodies of members and invitations."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas import EXAMPLE_UUID, UserRef


class MemberIn(Strict):
    """The role to give: ``viewer``, ``developer``, ``admin`` or a custom one."""

    role: str = Field(min_length=1, max_length=50)

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "developer"}]})


class InvitationOut(BaseModel):
    """An invitation to a project that is neither accepted nor declined yet."""

    uuid: UUID
    project: UUID
    project_name: str
    username: str = Field(description="who is invited, as the invitation named them")
    role: str
    invited_by: UserRef | None
    created_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "project": EXAMPLE_UUID,
                    "project_name": "faq",
                    "username": "lin",
                    "role": "developer",
                    "invited_by": {"uuid": EXAMPLE_UUID, "username": "mei"},
                    "created_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )


class MemberOut(BaseModel):
    """A user's role in the project. The owner is listed first, with the role ``owner``."""

    user: UserRef
    role: str
    created_at: datetime | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user": {"uuid": EXAMPLE_UUID, "username": "lin"},
                    "role": "developer",
                    "created_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )

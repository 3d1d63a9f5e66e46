"""Request bodies of transfers of projects."""

from typing import Annotated

from pydantic import ConfigDict, Field

from aiplatform.protocol.permissions import SystemRoleName
from aiplatform.protocol.specs import Strict


class TransferIn(Strict):
    """The new owner, and the role that the old one keeps; without a role, the old owner leaves."""

    user: Annotated[str, Field(min_length=1, max_length=50, description="uuid or user name")]
    keep_role: SystemRoleName | None = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": "lin", "keep_role": "developer"}]}
    )

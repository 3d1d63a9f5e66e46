"""Request bodies of members."""

from pydantic import ConfigDict, Field

from aiplatform.protocol.specs import Strict


class MemberIn(Strict):
    """The role to give: ``viewer``, ``developer``, ``admin`` or a custom one."""

    role: str = Field(min_length=1, max_length=50)

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "developer"}]})

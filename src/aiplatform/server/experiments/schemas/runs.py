"""Request bodies of runs."""

from pydantic import ConfigDict, Field

from aiplatform.protocol.gates import OverrideReason
from aiplatform.protocol.specs import Strict
from aiplatform.server.experiments.schemas.experiments import Title


class RerunIn(Strict):
    """A repetition of a run with the same config, dataset versions, base model and seed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 5}]})

    name: Title | None = None
    priority: int = Field(5, ge=1, le=10, description="higher first")
    override_gate: OverrideReason | None = Field(
        None,
        description="why it is trained although the data fails the quality gate; kept by the audit",
    )

"""Request bodies of quotas."""

from pydantic import ConfigDict, Field

from aiplatform.protocol.specs import Strict


class QuotaIn(Strict):
    """A project's own limits; null or a missing field means the platform's default."""

    storage_bytes: int | None = Field(None, ge=0, lt=2**63)
    concurrent_tasks: int | None = Field(None, ge=0, lt=2**31)
    gpus: int | None = Field(None, ge=0, lt=2**31)
    max_priority: int | None = Field(
        None, ge=5, le=10, description="of its tasks; those of 9 and 10 preempt others"
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "storage_bytes": 107374182400,
                    "concurrent_tasks": 4,
                    "gpus": 2,
                    "max_priority": 8,
                }
            ]
        }
    )

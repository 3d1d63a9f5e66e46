"""Request and answer bodies of quotas and usage."""

from pydantic import BaseModel, ConfigDict, Field

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


class StorageUsage(BaseModel):
    """Stored bytes by kind; ``limit`` is null if there is none."""

    datasets: int
    models: int
    checkpoints: int
    artifacts: int = Field(description="code bundles, and files that tasks have left")
    bin: int
    total: int
    limit: int | None


class CountUsage(BaseModel):
    """The number in use now; ``limit`` is null if there is none."""

    used: int
    limit: int | None


class UsageOut(BaseModel):
    """A project's usage and limits. Content that is used twice counts twice."""

    storage: StorageUsage
    tasks: CountUsage
    gpus: CountUsage
    max_priority: int = Field(description="the highest that its tasks may have")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "storage": {
                        "datasets": 52428800,
                        "models": 536870912,
                        "checkpoints": 0,
                        "artifacts": 0,
                        "bin": 18432,
                        "total": 589318144,
                        "limit": 107374182400,
                    },
                    "tasks": {"used": 1, "limit": 4},
                    "gpus": {"used": 1, "limit": 2},
                    "max_priority": 8,
                }
            ]
        }
    )

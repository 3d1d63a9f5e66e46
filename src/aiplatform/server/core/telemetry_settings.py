"""Settings of what is observed: logs, telemetry, cost, retention, traces."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode


class TelemetrySettings(BaseSettings):
    """What :class:`aiplatform.server.core.settings.Settings` has of them."""

    log_bytes_per_second: int = Field(
        256_000,
        ge=1_000,
        description="Bytes a second of a task's log that become rows; what exceeds it goes to "
        "compressed files in the store, which downloads and searches read.",
    )
    log_burst_bytes: int = Field(
        4_000_000, ge=10_000, description="Bytes that a task may print at once beyond that rate."
    )
    log_overflow_bytes: int = Field(
        4_000_000_000,
        ge=0,
        description="Bytes that one attempt may put into those files; more is dropped and counted.",
    )
    gpu_prices: Annotated[dict[str, float], NoDecode] = Field(
        default={},
        description="Price of a GPU-hour by label, comma-separated, such as "
        "`gpu:a100=2.5,gpu:h100=4`; `gpu=1` is for all others, `cpu=0.05` for an hour of one core. "
        "By default nothing has a price.",
    )
    price_currency: str = Field(
        "USD", max_length=10, description="Currency of those prices; a word that is shown."
    )

    traces: bool = Field(
        False,
        description="Whether requests and tasks are traced by OpenTelemetry (extra `otel`). Where "
        "spans go and how many are kept is for its own, standard variables; see Operations.",
    )

    retention_log_days: int | None = Field(
        None,
        ge=0,
        le=3650,
        description="Days that logs are kept after a task's end; by default for good. This and the "
        "next two: a project's `config` may say otherwise under `retention`.",
    )
    retention_telemetry_days: int | None = Field(
        90, ge=0, le=3650, description="Days that telemetry is kept after a task's end."
    )
    retention_checkpoint_days: int | None = Field(
        30,
        ge=0,
        le=3650,
        description="Days that checkpoints are kept of a task that failed or was cancelled, and "
        "the best of one that completed.",
    )

    @field_validator("gpu_prices", mode="before")
    @classmethod
    def _prices(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.rpartition("=") for part in value.split(",") if part.strip()]
        return {label.strip(): price.strip() for label, _, price in pairs}

    @field_validator("gpu_prices", mode="after")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        for label, price in value.items():
            if not label or price < 0:
                raise ValueError(f"{label!r}={price} is no price; write it like gpu:a100=2.5")
        return value
